package idempotence

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// MaxInFlight is how many batches of a producer a broker remembers per
// partition (ProducerStateEntry.NUM_BATCHES_TO_RETAIN): with more unanswered,
// the oldest could no longer be recognised.
const MaxInFlight = 5

// drain seals what is ready, as much as may be unanswered.
func (m *Machine) drain(e *Env) {
	if e.Closing {
		return
	}
	if e.Now.Age < m.retryAt {
		e.Wake(m.retryAt)
		return
	}
	m.Block(e, m.waitsForTime()) // what stands behind a record that waits gives its memory to others
	for m.maySeal(e, m.Queue.Head()) {
		if err := m.Queue.Fit(e.Accumulator); err != nil {
			e.Damage = err
			return
		}
		m.seal(e, m.Queue.Pop(e.Accumulator))
	}
}

// maySeal reports whether b, the head of the queue or nil, may be sealed now.
func (m *Machine) maySeal(e *Env, b *accumulator.Batch) bool {
	if b == nil {
		return false
	}
	if ok, at := m.Queue.Ready(e.Accumulator, e.Now.Age); !ok {
		e.Wake(at)
		return false
	}
	if !e.MaySeal {
		m.Detail = e.WhyNot // not even under the former id: a raised epoch of it may be on disk, with nothing sent yet
		return false
	}
	usable := true
	if len(m.window) == 0 {
		var adopted bool
		if usable, adopted = m.adopt(e, len(m.refusedMaybe) == 0); adopted {
			m.Mark(e)
		}
	}
	if !usable || !m.seq.Identity.Valid() {
		if e.NoIdentity != "" {
			m.Detail = e.NoIdentity
		}
		return false
	}
	if m.boundKnown {
		return false // what was refused is decided first
	}
	return len(m.window) < m.limit(e, b.MaxTimestamp, len(m.window) > 0, m.oldest(false))
}

// seal gives a batch its identity. Not a byte of it leaves before that is durable.
func (m *Machine) seal(e *Env, b *accumulator.Batch) {
	e.Ordinal++
	b.Identity, b.TopicID, b.Ordinal = m.seq.Identity, e.TopicID, e.Ordinal
	b.Base = m.seq.Assign(b.Count)
	tail := m.lowest()
	s := &Sealed{
		Batch: b, offset: protocol.NoOffset, stamp: -1,
		Seal: spool.Seal{
			SealKey:      spool.SealKey{Lane: b.Lane, Partition: b.Partition, Identity: b.Identity, Base: b.Base},
			Count:        b.Count,
			Spans:        b.Spans,
			TopicID:      b.TopicID,
			MaxTimestamp: b.MaxTimestamp,
			SealedAt:     e.Now.Wall,
			SealedAge:    e.Now.Age,
			Tail:         tail,
			Ordinal:      b.Ordinal,
		},
	}
	m.window = append(m.window, s)
	e.putSeal(s)
	m.Mark(e)
}

// limit is how many batches may be unanswered together with one whose largest timestamp is candidate.
func (m *Machine) limit(e *Env, candidate int64, unanswered bool, oldest int64) int {
	if m.waitsForTime() {
		return 1 // what stands behind a record that waits cannot enter the log before it
	}
	margin := protocol.Margin{Wall: e.Now.Wall, Ms: e.MarginMs}
	mayAsk := m.mayAsk && len(m.refusedMaybe) == 0
	return min(inFlightLimit(&m.seq, margin, mayAsk, oldest, unanswered, candidate), e.MaxInFlight)
}

// inFlightLimit is how many batches may be unanswered, counting a batch whose largest
// timestamp is candidate: one while the broker has no state of us or cannot be asked, and where it may have
// forgotten us by the timestamps. oldest is the smallest of the largest timestamps of those
// unanswered now; unanswered says whether there are any. Kafka's own client has no such
// rule: two first batches, the second of which is accepted first, leave the
// first out of order for ever (KAFKA-14359).
func inFlightLimit(s *protocol.Sequences, m protocol.Margin, mayAsk bool, oldest int64, unanswered bool, candidate int64) int {
	switch {
	case !s.Known, !mayAsk:
		return 1
	case !m.Inside(s.LastMaxTimestamp):
		return 1
	case unanswered && !m.Inside(oldest), !m.Inside(candidate):
		return 1
	}
	return MaxInFlight
}

// NextToSend is the next batch to put on the wire, or nil.
func (m *Machine) NextToSend(e *Env) *Sealed {
	if m.phase == Resolving {
		if b := m.resend; b != nil && !b.sent && b.durable && b.Batch != nil && !m.waits(e, b) {
			return b
		}
		return nil
	}
	if m.phase != Ready || e.Now.Age < m.retryAt {
		return nil
	}
	b := m.unsent()
	if b == nil || m.waits(e, b) {
		return nil
	}
	if !b.durable || b.Batch == nil {
		return nil
	}
	if m.onWire >= m.limit(e, b.Seal.MaxTimestamp, m.onWire > 0, m.oldest(true)) {
		return nil
	}
	return b
}
