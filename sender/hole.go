package sender

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// refused deals with the front of p's window, which the leader refused for good
// and does not have in its log. final: no copy of it can turn up any more.
func (s *Sender) refused(p *partition, final bool) {
	inf := p.window[0]
	p.phase = ready
	bad := s.badRecords(inf)
	if len(bad) == 0 && inf.seal.Count > 1 {
		s.split(p, final)
		return
	}
	if !final {
		s.suspect(p)
		return
	}
	if len(bad) == 0 {
		bad = []int32{0}
	}
	s.hole(p, bad)
}

// badRecords is which records of inf the broker named, ascending and in range.
func (s *Sender) badRecords(inf *inflight) []int32 {
	var bad []int32
	for _, n := range inf.bad {
		if n >= 0 && n < inf.seal.Count && !slices.Contains(bad, n) {
			bad = append(bad, n)
		}
	}
	slices.Sort(bad)
	return bad
}

// split cuts the front in two, to find the record that is refused. Every record
// keeps its sequence, so this is safe with any number of copies about.
func (s *Sender) split(p *partition, final bool) {
	inf := p.window[0]
	if inf.batch == nil {
		panic(fmt.Sprintf("sender: %s-%d: a batch without bytes was refused", p.lane.topic, p.id))
	}
	left, right, err := inf.batch.Split()
	if err != nil {
		s.stop = &DamageError{err}
		return
	}
	s.recycle(inf)
	var halves []*inflight
	for _, b := range []*accumulator.Batch{left, right} {
		s.acc.Adopt(b)
		s.ordinal++
		b.Ordinal = s.ordinal
		h := &inflight{batch: b, offset: protocol.NoOffset, stamp: -1, seal: inf.seal}
		h.seal.Base, h.seal.Count, h.seal.Spans = b.Base, b.Count, b.Spans
		h.seal.MaxTimestamp, h.seal.Ordinal = b.MaxTimestamp, b.Ordinal
		if !final {
			h.maybe = 1
		}
		halves = append(halves, h)
		s.sealing(p, h) // the left half's seal has the key of the whole and replaces it
	}
	p.window = slices.Insert(p.window[1:], 0, halves...)
	if !final {
		p.phase = fresh
	}
	s.audit("%s-%d: batch of %d records at sequence %d was refused (%v) and cut in two", p.lane.topic, p.id, inf.seal.Count, inf.seal.Base, inf.code)
}

// hole dead-letters the records of the front that are refused for good, and goes on
// at the next epoch: their sequences are never given to others, and what was sealed
// above them cannot enter the log any more.
func (s *Sender) hole(p *partition, bad []int32) {
	inf := p.window[0]
	s.deadLetter(p, inf, bad)
	s.reseal(p, p.window, "a record was refused for good: "+inf.code.String())
}

// deadLetter takes the records of inf at the places bad out of the way.
func (s *Sender) deadLetter(p *partition, inf *inflight, bad []int32) {
	err := &RefusedError{Code: inf.code.String(), Message: inf.message}
	k, n := 0, int32(0)
	for _, sp := range inf.seal.Spans {
		for i := sp.First; i < sp.End; i++ {
			if k < len(bad) && bad[k] == n {
				s.w.DeadLetters = append(s.w.DeadLetters, spool.DeadLetter{
					Lane: p.lane.id, Index: i, Partition: p.id, Code: inf.code, Message: inf.message,
					Attempts: int32(inf.copies), At: s.now.Wall,
				})
				one := []spool.Span{{First: i, End: i + 1}}
				s.leave(p.lane, one, spool.OutcomeDeadLettered)
				s.eff.Deliver = append(s.eff.Deliver, Delivery{
					Lane: p.lane.id, Spans: one, Partition: p.id, Offset: protocol.NoOffset, Timestamp: -1, Err: err,
				})
				s.event(RecordDeadLettered{Topic: p.lane.topic, Partition: p.id, Index: i, Code: inf.code, Message: inf.message})
				k++
			}
			n++
		}
	}
	s.urgent = true
}

// reseal unseals list (the window, or what is left of it) and gives its records back
// to be sealed again from sequence 0 of the next epoch of the same producer id.
func (s *Sender) reseal(p *partition, list []*inflight, why string) {
	var spans []spool.Span
	for _, inf := range list {
		s.w.Unseal = append(s.w.Unseal, inf.seal.SealKey)
		for _, sp := range inf.seal.Spans {
			spans = append(spans, unsettled(p.lane.settled, sp)...)
		}
		s.recycle(inf)
	}
	p.window = p.window[:0]
	p.resend = nil
	p.lane.acc.Untake(s.acc, p.q, spans)
	if planted.Is(planted.SequenceReused) && len(list) > 0 {
		p.ids.Next = list[0].seal.Base
	} else {
		s.bump(p, why)
	}
	s.epoch++
	s.urgent = true
}

// bump goes on at sequence 0 of the next epoch.
func (s *Sender) bump(p *partition, why string) {
	if !p.ids.Identity.Valid() {
		return
	}
	if !p.ids.Bump() {
		p.exhausted = true // the next id comes from the cluster
		s.identify.another = true
		p.ids.Settled = protocol.NoSequence
	}
	s.mark(p)
	s.event(EpochBumped{Topic: p.lane.topic, Partition: p.id, Identity: p.ids.Identity, Why: why})
}

// unsettled is what of sp is not settled.
func unsettled(set *spool.Set, sp spool.Span) []spool.Span {
	var out []spool.Span
	for i := set.NextAbsent(sp.First); i < sp.End; i = set.NextAbsent(i) {
		end := i + 1
		for end < sp.End && !set.Contains(end) {
			end++
		}
		out = append(out, spool.Span{First: i, End: end})
		i = end
	}
	return out
}

// suspect keeps the front's seal, marked: it was refused, but another copy of it may
// be in the log or on its way there. What is above goes on in the next epoch; its
// first ack shuts the copies out, and a look at the tail below it tells (DESIGN 4.6).
func (s *Sender) suspect(p *partition) {
	inf := p.window[0]
	for _, above := range p.window[1:] {
		if above.maybe > 0 || above.found {
			s.parkPartition(p, spool.ParkHole, fmt.Sprintf(
				"batch at sequence %d was refused (%v), more than one copy of it was sent, and one above it is not answered", inf.seal.Base, inf.code))
			return
		}
	}
	above := slices.Clone(p.window[1:])
	inf.seal.Refused = inf.code
	s.recycle(inf)
	p.limbo = append(p.limbo, inf)
	s.w.Seals = append(s.w.Seals, inf.seal)
	s.reseal(p, above, "a batch was refused, and another copy of it may still turn up: "+inf.code.String())
}

// limboBound notes that the new epoch's first batch was acked at offset: no copy of
// what was refused can enter the log behind it.
func (s *Sender) limboBound(p *partition, offset protocol.Offset) {
	if offset == protocol.NoOffset {
		s.parkPartition(p, spool.ParkHole, "a refused batch may be in the log, and the place of the first batch of the next epoch is not known")
		return
	}
	p.limboTo = offset
	p.limboReady = true
}

// limboStep reads the tail below the first ack of the new epoch.
func (s *Sender) limboStep(p *partition, via cluster.Way) {
	if via != p.via {
		p.via, p.tail = via, nil
	}
	s.readTail(p, p.limbo[0].seal.Tail, p.limboTo)
}

// limboSeen decides what became of the refused batches.
func (s *Sender) limboSeen(p *partition, t recovery.Tail) {
	inf := p.limbo[0]
	at := protocol.NoOffset
	for _, l := range t.Batches {
		skip := l.Base.Distance(inf.seal.Base)
		if l.Identity == inf.seal.Identity && skip+int(inf.seal.Count) <= int(l.Count) {
			at = l.Offset + protocol.Offset(skip)
		}
	}
	switch {
	case t.Err != "", at == protocol.NoOffset && t.LogStart > inf.seal.Tail:
		s.parkPartition(p, spool.ParkTailUnreadable, "a refused batch may be in the log: "+t.Err)
		return
	case at != protocol.NoOffset && !planted.Is(planted.LimboUnread):
		s.leave(p.lane, inf.seal.Spans, spool.OutcomeAcked)
		s.eff.Deliver = append(s.eff.Deliver, Delivery{Lane: p.lane.id, Spans: inf.seal.Spans, Partition: p.id, Offset: at, Timestamp: -1})
		s.event(BatchAcked{Topic: p.lane.topic, Partition: p.id, Records: int(inf.seal.Count), Offset: at, Recovered: inf.found, How: "tail"})
	default:
		all := make([]int32, inf.seal.Count)
		for i := range all {
			all[i] = int32(i)
		}
		s.deadLetter(p, inf, all)
	}
	s.w.Unseal = append(s.w.Unseal, inf.seal.SealKey)
	p.limbo = p.limbo[1:]
	if len(p.limbo) == 0 {
		p.phase, p.limboReady = ready, false
	}
}
