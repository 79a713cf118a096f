package idempotence

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Answered takes the answer to one copy of b. It reports whether newer metadata must come before the leader is
// asked about the partition.
func (m *Machine) Answered(e *Env, b *Sealed, a Answer) (refresh bool) {
	if a.NeverWritten {
		b.copies--
	}
	b.sent = false
	m.onWire--
	class := a.Code.Class()
	success := !a.Lost && (class == protocol.Success || class == protocol.Duplicate)
	if class == protocol.Duplicate {
		a.Offset = protocol.NoOffset
	}
	appended := a.Lost || !a.Code.NotAppended() // a copy may be in the log
	if success {
		b.acked, b.offset, b.stamp = true, a.Offset, a.Stamp
		m.attempts, m.Detail = 0, ""
	} else {
		b.code, b.message, b.bad = a.Code, a.Message, a.Bad
		if !a.NeverWritten && appended {
			b.maybe++
			if !a.Lost && a.Code == protocol.UnknownTopicID {
				b.unknownID++
			}
		}
		e.Retries++
		e.event(BatchRetried{Topic: m.Lane.Topic, Partition: m.ID, Code: a.Code})
		refresh = class == protocol.RefreshRetriable || a.Lost
	}
	if m.phase == Resolving && b == m.resend {
		m.resend = nil
		if !success {
			m.note(b)
		}
		m.resolver.Resent(a.Code, a.Offset, a.Lost || !success && appended)
		return refresh
	}
	if m.phase != Ready && m.phase != Muted {
		return refresh
	}
	m.settleFront(e)
	if m.phase == Ready && (!success || m.overtaken()) {
		m.enter(Muted)
		m.Block(e, true)
	}
	return refresh
}

// note keeps the reason that the partition waits, for people.
func (m *Machine) note(b *Sealed) {
	if why := b.reason(); why != "" {
		m.Detail = why
	}
}

// settleFront settles what was acked at the front of the window.
func (m *Machine) settleFront(e *Env) {
	for len(m.window) > 0 && m.window[0].acked && m.phase != Parked {
		m.settle(e, m.window[0].offset, "answer")
	}
}

// settle takes the front of the window off: it is on all in-sync replicas.
func (m *Machine) settle(e *Env, offset protocol.Offset, how string) {
	b := m.window[0]
	wentBack, last := m.wentBack(offset, how), m.seq.LastOffset
	m.window = append(m.window[:0], m.window[1:]...)
	first := m.seq.Settled == protocol.NoSequence
	m.seq.Acked(b.Seal.Base.Last(int(b.Seal.Count)), b.Seal.Count, offset, b.Seal.MaxTimestamp)
	if first && len(m.refusedMaybe) > 0 {
		m.boundAt(e, offset)
	}
	e.Write.Unseal = append(e.Write.Unseal, b.Seal.SealKey)
	e.leave(m.Lane, b.Seal.Spans, spool.OutcomeAcked)
	m.Mark(e)
	e.Deliver = append(e.Deliver, spool.Delivery{
		Lane: m.Lane.ID, Spans: b.Seal.Spans, Partition: m.ID, Offset: offset, Timestamp: b.stamp,
	})
	bytes := 0
	if b.Batch != nil {
		bytes = len(b.Batch.Buf)
		m.Lane.Took(bytes)
	}
	e.event(BatchAcked{
		Topic: m.Lane.Topic, Partition: m.ID, Records: int(b.Seal.Count), Bytes: bytes,
		Offset: offset, Recovered: b.found, How: how,
	})
	e.recycle(b)
	m.attempts, m.retryAt, m.healing, m.Progress = 0, 0, 0, e.Now.Age
	if wentBack {
		m.parkLower(e, offset, last)
	}
}

// wentBack reports whether a batch was acked at or below where one was acked before. A duplicate is answered with the offset
// of its first copy, which was not appended below what went before it either.
func (m *Machine) wentBack(offset protocol.Offset, how string) bool {
	return how == "answer" && offset != protocol.NoOffset && m.seq.LastOffset != protocol.NoOffset && offset <= m.seq.LastOffset
}

func (m *Machine) parkLower(e *Env, offset, last protocol.Offset) {
	m.ParkFor(e, spool.ParkLogWentBack, fmt.Sprintf(
		"a batch was acked at offset %d, but offset %d had been acked before", offset, last))
}

// Review decides how the partition goes on after an error, once everything that was in flight is answered.
func (m *Machine) Review(e *Env) {
	if m.phase != Muted || m.onWire > 0 {
		return
	}
	m.settleFront(e)
	if m.phase == Parked {
		return
	}
	if len(m.window) == 0 {
		m.enter(Ready)
		return
	}
	first := m.window[0]
	m.note(first)
	class := first.code.Class()
	switch {
	case m.doubtful() || m.overtaken() || first.code != 0 && (class == protocol.OutOfOrder || class == protocol.Fenced):
		m.Wait(e, m.Detail)
		m.enter(Unknown) // ask before anything is sent again
	case first.code != 0 && class == protocol.Refused:
		// Every copy of it was refused, and what is above was refused as out of order
		// or never written: nothing of it is in the log.
		m.refused(e, true)
	default:
		// Certainly not appended, or never written: the same again, in order, after a
		// while. Never at once: a broker that answers at once would be asked for ever.
		m.Wait(e, m.Detail)
		if first.code != 0 {
			m.slow(e, class)
		}
		m.enter(Ready)
	}
}

// slowMs is the least time between tries where only an operator can help.
const slowMs = 5000

// slow makes the partition wait longer where only an operator can help, and reports it.
func (m *Machine) slow(e *Env, class protocol.Class) {
	if class != protocol.Authorization && class != protocol.Fatal && class != protocol.Misfit {
		return
	}
	m.retryAt = e.Now.Age + max(e.RetryBackoffMaxMs, slowMs)
	e.Wake(m.retryAt)
	e.event(TopicTrouble{Topic: m.Lane.Topic, Code: m.window[0].code, Message: m.Detail})
}
