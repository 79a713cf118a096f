package idempotence

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// refused deals with the front of the window, which the leader refused for good
// and does not have in its log. final: no copy of it can turn up any more.
//
// known: the leader has state for the producer id, which keeps copies out once something above them is acked.
func (m *Machine) refused(e *Env, final, known bool) {
	b := m.window[0]
	m.enter(Ready)
	places := piecePlaces(b.Seal.Count)
	if (b.code == protocol.MessageTooLarge || b.code == protocol.RecordListTooLarge) && b.Seal.Count > 1 && b.Batch != nil {
		m.Lane.TooLarge(e.Now.Age, b.Batch)
		fitting, err := m.Lane.Fitting(b.Batch)
		if err != nil {
			e.Damage = err
			return
		}
		if len(fitting) > 0 {
			places = fitting
		}
	}
	bad := b.badRecords()
	if len(bad) == 0 && b.Seal.Count > 1 {
		m.cut(e, places, final)
		return
	}
	if !final && !known {
		// Nothing keeps another copy out. Cut in pieces it could go again: the first one that is acked gives the leader that state.
		m.ParkFor(e, spool.ParkRefused, fmt.Sprintf(
			"batch at sequence %d was refused, more than one copy of it was sent, and the leader has no state to keep the others out", b.Seal.Base))
		return
	}
	if len(bad) == 0 {
		bad = []int32{0}
	}
	stay := m.forGood(e, b, bad)
	switch {
	case e.Damage != nil:
	case len(stay) == 0:
		m.waitForTime(e, bad[0], final)
	case !final:
		m.keepRefused(e)
	case e.DeadFull:
		// It does not stay sealed: every copy is accounted for now, which a start could not see.
		m.reseal(e, m.window, "refused, with no room for dead letters: "+b.code.String())
		m.waitForDeadRoom(e, b, m.Lane.Topic)
	default:
		bad = stay
		// Their sequences are never given to others, and what was sealed above them cannot enter the log any
		// more: it goes on in the next epoch.
		m.deadRoom = false
		m.deadLetter(e, b, bad, false)
		m.reseal(e, m.window, "a record was refused for good: "+b.code.String())
	}
}

// badRecords is which records the broker named, ascending and in range.
func (b *Sealed) badRecords() []int32 {
	var bad []int32
	for _, r := range b.bad {
		if r.Place >= 0 && r.Place < b.Seal.Count && !slices.Contains(bad, r.Place) {
			bad = append(bad, r.Place)
		}
	}
	slices.Sort(bad)
	return bad
}

// allRecords is every record of b, by its place.
func (b *Sealed) allRecords() []int32 {
	all := make([]int32, b.Seal.Count)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// pieces is how many a refused batch is cut into when the broker does not say which record it refuses: each cut is a commit, so a
// batch of a hundred takes two of them.
const pieces = 16

// piecePlaces are the places before which a batch of count records is cut.
func piecePlaces(count int32) (places []int32) {
	size := (count + pieces - 1) / pieces
	for at := size; at < count; at += size {
		places = append(places, at)
	}
	return places
}

// cut cuts the front before the records at some places, to find the record that is refused, or to have it wait. Every record
// keeps its sequence, so this is safe with any number of copies about. It returns the last piece, or nil where the spool is damaged.
func (m *Machine) cut(e *Env, places []int32, final bool) *Sealed {
	b := m.window[0]
	if b.Batch == nil {
		panic(fmt.Sprintf("idempotence: %s-%d: a batch without bytes was refused", m.Lane.Topic, m.ID))
	}
	batches, err := b.Batch.Cut(places)
	if err != nil {
		e.Damage = err
		return nil
	}
	e.Splits++
	m.letGo(e, b)
	var list []*Sealed
	for _, batch := range batches {
		e.Accumulator.Adopt(batch)
		e.Ordinal++
		batch.Ordinal = e.Ordinal
		p := &Sealed{Batch: batch, offset: protocol.NoOffset, stamp: -1, Seal: b.Seal}
		p.Seal.Base, p.Seal.Count, p.Seal.Spans = batch.Base, batch.Count, batch.Spans
		p.Seal.MaxTimestamp, p.Seal.Ordinal = batch.MaxTimestamp, batch.Ordinal
		if !final {
			p.maybe = 1
		}
		list = append(list, p)
		e.putSeal(p) // the first one's seal has the key of the whole and replaces it
	}
	m.Mark(e)
	m.window = slices.Insert(m.window[1:], 0, list...)
	if !final {
		m.enter(Unknown)
	}
	e.audit("%s-%d: batch of %d records at sequence %d was refused (%v) and cut in %d", m.Lane.Topic, m.ID, b.Seal.Count, b.Seal.Base, b.code, len(list))
	return list[len(list)-1]
}

// reseal unseals list (the window, or what is left of it) and gives its records back
// to be sealed again from sequence 0 of the next epoch of the same producer id.
func (m *Machine) reseal(e *Env, list []*Sealed, why string) {
	var spans []spool.Span
	var batches []*accumulator.Batch
	for _, b := range list {
		e.Write.Unseal = append(e.Write.Unseal, b.Seal.SealKey)
		m.lose(e, m.Lane.MissingOf(b.Seal.Spans))
		for _, sp := range b.Seal.Spans {
			spans = m.Lane.AppendUnsettled(spans, sp)
		}
		if b.Batch != nil {
			batches = append(batches, b.Batch)
		}
	}
	if len(batches) < len(list) {
		m.Lane.Return(e.Accumulator, m.Queue, spans)
	} else if err := m.Lane.Requeue(e.Accumulator, m.Queue, batches); err != nil { // no need to read them again
		e.Damage = err
	}
	for _, b := range list {
		m.letGo(e, b)
	}
	m.window = m.window[:0]
	m.resend = nil
	if m.bump(e) {
		m.Mark(e)
		e.event(EpochBumped{Topic: m.Lane.Topic, Partition: m.ID, Identity: m.seq.Identity, Why: why})
	}
	e.Accumulator.WakeLanes()
	e.Urgent = true
}

// keepRefused keeps the front's seal, marked: it was refused, but another copy of it may
// be in the log or on its way there. What is above goes on in the next epoch; its
// first ack shuts the copies out, and the log's tail below it shows what became of them.
func (m *Machine) keepRefused(e *Env) {
	b := m.window[0]
	if slices.ContainsFunc(m.window[1:], (*Sealed).inDoubt) {
		m.ParkFor(e, spool.ParkRefused, fmt.Sprintf(
			"batch at sequence %d was refused (%v), more than one copy of it was sent, and one above it is not answered", b.Seal.Base, b.code))
		return
	}
	above := slices.Clone(m.window[1:])
	b.Seal.Refused = b.code
	m.letGo(e, b)
	m.refusedMaybe = append(m.refusedMaybe, b)
	e.Write.Seals = append(e.Write.Seals, b.Seal)
	m.reseal(e, above, "a batch was refused, and another copy of it may still turn up: "+b.code.String())
}

// refusedSeen decides what became of the first of the refused batches.
func (m *Machine) refusedSeen(e *Env, t recovery.Tail) {
	b, at := m.refusedMaybe[0], m.refusedAt(&t)
	switch {
	case t.Err != "", at == protocol.NoOffset && t.LogStart > b.Seal.Tail:
		m.ParkFor(e, spool.ParkTailUnreadable, "a refused batch may be in the log: "+t.Err)
		return
	case at != protocol.NoOffset:
		e.leave(m.Lane, b.Seal.Spans, spool.OutcomeAcked)
		e.Deliver = append(e.Deliver, spool.Delivery{Lane: m.Lane.ID, Spans: b.Seal.Spans, Partition: m.ID, Offset: at, Timestamp: -1})
		e.event(BatchAcked{Topic: m.Lane.Topic, Partition: m.ID, Records: int(b.Seal.Count), Offset: at, Recovered: b.found, How: "tail"})
	default:
		m.deadLetter(e, b, b.allRecords(), false)
	}
	e.Write.Unseal = append(e.Write.Unseal, b.Seal.SealKey)
	if m.dropRefused() {
		m.enter(Ready)
	}
}
