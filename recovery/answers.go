package recovery

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// maxOdd is how many out-of-order answers in a row, each against what the leader
// had just said, are taken for a passing matter (a leader that is about to move).
const maxOdd = 5

// Described takes the leader's answer to Ask.
func (r *Resolver) Described(now spool.Time, n Named) {
	if r.phase != asking {
		return
	}
	r.named, r.known = -1, false
	switch {
	case !n.Present:
		r.absent()
	case n.Epoch > int32(r.f.Identity.Epoch):
		r.finish(Step{Do: Stop, Detail: fmt.Sprintf(
			"the leader has producer id %d at epoch %d, this spool only used %d", r.f.Identity.ID, n.Epoch, r.f.Identity.Epoch)})
	case n.Epoch < int32(r.f.Identity.Epoch):
		r.olderEpoch(n)
	default:
		r.sameEpoch(n)
	}
}

// absent: the leader has no state for our producer id.
func (r *Resolver) absent() {
	for i := range r.batches {
		if r.batches[i].Doubtful {
			r.phase = tailing // before any copy is sent
			return
		}
	}
	r.phase = sending
}

// olderEpoch: nothing of our epoch is in this leader's log.
func (r *Resolver) olderEpoch(n Named) {
	if r.f.Settled != protocol.NoSequence {
		r.park(spool.ParkLogWentBack, fmt.Sprintf(
			"the leader has epoch %d, but epoch %d was acked up to sequence %d", n.Epoch, r.f.Identity.Epoch, r.f.Settled))
		return
	}
	r.phase = sending
}

func (r *Resolver) sameEpoch(n Named) {
	// before is the sequence that a log without any of the batches ends at.
	base := r.f.Next
	if len(r.batches) > 0 {
		base = r.batches[0].Base
	}
	if n.LastSequence < 0 {
		r.park(spool.ParkUnexpectedState, "the leader has our epoch, but no sequence")
		return
	}
	ahead := base.Distance(n.LastSequence.Next(1)) // records of ours in the log, from base on
	total := base.Distance(r.f.Next)
	switch {
	case ahead == 0:
		r.known = true
		r.phase = sending
	case ahead <= total:
		r.endsInside(ahead, n)
	case ahead > 1<<30:
		r.park(spool.ParkLogWentBack, fmt.Sprintf(
			"the leader's last sequence is %d, but everything below %d was acked", n.LastSequence, base))
	default:
		r.finish(Step{Do: Stop, Detail: fmt.Sprintf(
			"the leader's last sequence of producer %v is %d, this spool sealed none at or above %d", r.f.Identity, n.LastSequence, r.f.Next)})
	}
}

// endsInside: the log ends with record number ahead of what is in doubt.
func (r *Resolver) endsInside(ahead int, n Named) {
	for i := range r.batches {
		ahead -= int(r.batches[i].Count)
		if ahead == 0 {
			r.known, r.named, r.phase = true, i, sending
			return
		}
		if ahead < 0 {
			break
		}
	}
	r.park(spool.ParkUnexpectedState, fmt.Sprintf(
		"the leader's last sequence is %d, and no sealed batch ends there", n.LastSequence))
}

// Denied says that we have no right to ask (READ on the topic). What is in doubt
// is sent again one at a time, on the strength of the margin alone.
func (r *Resolver) Denied() {
	if r.phase == asking {
		r.denied = true
	}
}

// TailRead takes what ReadTail showed.
func (r *Resolver) TailRead(now spool.Time, t Tail) {
	if r.phase != tailing && r.phase != proving {
		return
	}
	if t.Err != "" {
		r.park(spool.ParkTailUnreadable, t.Err)
		return
	}
	if t.Below {
		r.park(spool.ParkLogWentBack, fmt.Sprintf(
			"the log ends below offset %d, which it had reached before the batch at sequence %d was sealed", r.batches[0].Tail, r.batches[0].Base))
		return
	}
	if r.beyond(t) {
		return
	}
	found, offsets, wrong := r.find(t)
	over := r.overtaken()
	if r.phase == proving && wrong == nil {
		r.proved(t, found, offsets)
		return
	}
	r.settled(found, "tail", offsets)
	switch {
	case wrong != nil:
		r.park(wrong.Reason, wrong.Detail)
	case over > 0 && found < over && r.cutOff(t): // it may have been there
	case over > 0 && found < over:
		r.park(spool.ParkOvertaken, fmt.Sprintf(
			"a later batch was acked at offset %d, and batch at sequence %d is not in the log below it", r.batches[over-found].Offset, r.batches[0].Base))
	case over > 0:
		r.settleAcked()
		r.afterOvertaken()
	case len(r.batches) == 0:
		r.phase = sending
	case found > 0:
		r.phase = asking // it may have arrived after the leader was asked, and then the leader has state of us
	case r.cutOff(t):
	default:
		r.notFound(now)
	}
}

// beyond stops for good if the log holds what this spool has not sealed, though the leader has forgotten who wrote it.
func (r *Resolver) beyond(t Tail) bool {
	for _, l := range t.Batches {
		if l.Identity == r.f.Identity && r.f.Next.Distance(l.Base) < 1<<30 {
			r.finish(Step{Do: Stop, Detail: fmt.Sprintf(
				"the log holds sequence %d of producer %v at offset %d, this spool sealed none at or above %d", l.Base, l.Identity, l.Offset, r.f.Next)})
			return true
		}
	}
	return false
}

// find is how many batches from the front the log covers, with their offsets. What lies where the log has been cut off
// at its beginning counts if a later one is there: sequences are contiguous in a log. Where all of it can be seen, that
// is not believed but looked at, for a broker without state for us takes any sequence as the first. wrong is why to park
// if the log holds what cannot be: a batch and not the one before it, or a part of one.
func (r *Resolver) find(t Tail) (found int, offsets []protocol.Offset, wrong *Step) {
	offsets = make([]protocol.Offset, len(r.batches))
	have := make([]int32, len(r.batches))
	end := 0
	for i := range r.batches {
		b := &r.batches[i]
		if offsets[i], have[i] = r.f.covers(t.Batches, b); have[i] >= b.Count {
			end = i + 1
		}
	}
	for i := range r.batches {
		b := &r.batches[i]
		switch {
		case have[i] >= b.Count || t.LogStart > b.Tail && i < end:
		case have[i] > 0:
			return i, offsets[:i], &Step{Reason: spool.ParkUnexpectedState, Detail: fmt.Sprintf(
				"of the batch at sequence %d only %d of %d records are in the log", b.Base, have[i], b.Count)}
		case i < end:
			return i, offsets[:i], &Step{Reason: spool.ParkOvertaken, Detail: fmt.Sprintf(
				"a later batch is in the log, and the batch at sequence %d is not below it", b.Base)}
		}
	}
	return end, offsets[:end], nil
}

// covers is how many records of a batch a log holds, from its first on, and the offset of that; NoOffset if the others do not
// stand right behind it. It may have been cut in two before it was sent, or after: batches of the log need not be ours.
func (f *Facts) covers(log []Logged, b *Batch) (at protocol.Offset, have int32) {
	at = protocol.NoOffset
	next, scattered := protocol.NoOffset, false
	for _, l := range log {
		if l.Identity != f.Identity || have >= b.Count {
			continue
		}
		skip := l.Base.Distance(b.Base.Next(int(have)))
		if skip >= int(l.Count) {
			continue
		}
		start := l.Offset + protocol.Offset(skip)
		if have == 0 {
			at = start
		}
		scattered = scattered || have > 0 && start != next
		have += l.Count - int32(skip)
		next = l.Offset + protocol.Offset(l.Count)
	}
	if scattered {
		at = protocol.NoOffset
	}
	return at, have
}

// settleAcked settles what was acked behind the batches that the tail showed.
func (r *Resolver) settleAcked() {
	n := 0
	for n < len(r.batches) && r.batches[n].Acked {
		n++
	}
	r.settled(n, "answer", nil)
}

func (r *Resolver) afterOvertaken() {
	r.phase = asking
	if r.overtaken() > 0 {
		r.phase = tailing
	}
}

// proved: the batch that the leader named was looked for below the high watermark.
func (r *Resolver) proved(t Tail, found int, offsets []protocol.Offset) {
	named := r.named
	r.settled(found, "tail", offsets)
	switch {
	case found > named:
		r.phase = sending
	case r.cutOff(t): // or it would be looked for where it can be no more, for ever
	default:
		r.phase = pausing // not replicated yet: ask again later
	}
}

// cutOff parks if the log begins above the place where the first batch in doubt may lie.
func (r *Resolver) cutOff(t Tail) bool {
	if t.LogStart <= r.batches[0].Tail {
		return false
	}
	r.park(spool.ParkTailUnreadable, fmt.Sprintf(
		"the log begins at offset %d, but a batch in doubt may lie at %d", t.LogStart, r.batches[0].Tail))
	return true
}

// notFound: the leader has no state, and nothing of what is left is in the log's tail.
func (r *Resolver) notFound(now spool.Time) {
	m := protocol.Margin{Wall: now.Wall, Ms: r.f.MarginMs}
	b := &r.batches[0]
	switch {
	case !b.Doubtful:
		r.phase = sending
	case !r.inside(now, b):
		r.park(spool.ParkOutsideMargin, fmt.Sprintf(
			"batch at sequence %d is not in the log and cannot be sent again: %s, and the broker could not recognize a late copy", b.Base, r.outside(now, b)))
	case r.f.Settled != protocol.NoSequence && m.Inside(r.f.LastMaxTimestamp):
		r.park(spool.ParkStateForgotten, fmt.Sprintf(
			"the leader has forgotten producer %v, which it acked up to sequence %d less than %d minutes ago", r.f.Identity, r.f.Settled, r.f.MarginMs/60_000))
	default:
		r.phase = sending
	}
}

// Resent takes the answer to Resend: code, and the offset if it is None. lost
// says that no answer came, or none that says whether it was appended.
func (r *Resolver) Resent(code protocol.ErrorCode, offset protocol.Offset, lost bool) {
	if r.phase != sending || len(r.batches) == 0 {
		return
	}
	i := max(r.named, 0)
	b := &r.batches[i]
	class := code.Class()
	switch {
	case lost:
		b.Doubtful = true
		r.phase = pausing
	case class == protocol.Success, class == protocol.Duplicate:
		r.acked(i, offset)
	case r.denied && (class == protocol.OutOfOrder || class == protocol.Fenced):
		r.park(spool.ParkUnexpectedState, fmt.Sprintf(
			"batch at sequence %d is refused as %v, and we may not ask the leader why (READ on the topic is missing)", b.Base, class))
	case class == protocol.Fenced:
		r.phase = pausing // the answer shows who has the higher epoch
	case r.named >= 0:
		// It is in the log: a refusal of a further copy proves nothing (S2).
		r.refused = true
	case class == protocol.OutOfOrder:
		if r.odd++; r.odd > maxOdd {
			r.park(spool.ParkUnexpectedState, fmt.Sprintf(
				"batch at sequence %d is refused as out of order, though the leader's last sequence is the one before", b.Base))
			return
		}
		r.phase = pausing
	case class == protocol.Refused:
		r.refusedForGood(i)
	default:
		r.phase = pausing
	}
}

// Early takes the answer to Resend where it is a refusal that time heals, as of a record that is ahead of the broker's clock. It reports
// whether the batch is to be sent again later, after the same questions: so it is where the leader has no state that would keep out
// another copy. Else the answer is one for Resent.
func (r *Resolver) Early() bool {
	if r.phase != sending || len(r.batches) == 0 || r.named >= 0 || r.known || !r.batches[0].Doubtful {
		return false
	}
	r.phase = pausing
	return true
}

// acked: batch i was answered; the answer waited for the high watermark, so all
// before it are replicated too.
func (r *Resolver) acked(i int, offset protocol.Offset) {
	offsets := make([]protocol.Offset, i+1)
	for k := range offsets {
		offsets[k] = protocol.NoOffset
	}
	offsets[i] = offset
	r.settled(i+1, "answer", offsets)
	r.known = true
}

// refusedForGood: batch i was refused for good and the leader says that it is not in its log.
func (r *Resolver) refusedForGood(i int) {
	r.finish(Step{Do: Refused, Index: i, Final: !r.batches[i].Doubtful, Known: r.known})
}

// Paused says that a Pause is over.
func (r *Resolver) Paused() {
	if r.phase == pausing {
		r.phase, r.refused = asking, false
		if r.overtaken() > 0 {
			r.phase = tailing
		}
	}
}

// Interrupted says that the leader or the connection went away: whatever was
// under way is asked anew.
func (r *Resolver) Interrupted() {
	if r.phase != ended {
		r.phase, r.refused, r.named = asking, false, -1
		if r.overtaken() > 0 {
			r.phase = tailing
		}
	}
}
