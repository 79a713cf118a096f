package idempotence

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Sent says that a copy of b is on the wire: Answered is called for it once.
func (m *Machine) Sent(e *Env, b *Sealed) {
	if b.copies > 0 || b.found {
		e.Retries++
		e.event(BatchRetried{Topic: m.Lane.Topic, Partition: m.ID, Code: b.code})
	}
	m.batches.sent(b)
}

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
		b.code, b.message, b.bad, b.led = a.Code, a.Message, a.Bad, a.Led
		if !a.NeverWritten && appended {
			b.maybe++
			if !a.Lost && a.Code == protocol.UnknownTopicID {
				b.unknownID++
			}
		}
		refresh = !a.Led && class == protocol.RefreshRetriable || a.Lost
	}
	if m.phase == Resolving && b == m.resend {
		m.resend = nil
		if !success {
			m.note(b)
		}
		if place, heals := m.healsWhole(e, b); heals && !success && m.resolver.Early() {
			m.waitInDoubt(e, b, place, m.Lane.Topic)
			return refresh
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
		// No copy of what was refused can enter the log behind the new epoch's first batch.
		if m.boundKnown, m.bound = offset != protocol.NoOffset, offset; !m.boundKnown {
			m.ParkFor(e, spool.ParkRefused, "a refused batch may be in the log, and the place of the first batch of the next epoch is not known")
		}
	}
	e.Write.Unseal = append(e.Write.Unseal, b.Seal.SealKey)
	m.acked(e, b, offset)
	m.Mark(e)
	bytes := 0
	if b.Batch != nil {
		bytes = len(b.Batch.Buf)
		m.Lane.Acked(b.Batch)
	}
	e.event(BatchAcked{
		Topic: m.Lane.Topic, Partition: m.ID, Records: int(b.Seal.Count), Bytes: bytes,
		Offset: offset, Recovered: b.found, How: how,
	})
	m.letGo(e, b)
	m.attempts, m.retryAt, m.healing, m.deadRoom, m.Progress = 0, 0, 0, false, e.Now.Age
	if wentBack {
		park := lower(offset, last)
		m.ParkFor(e, park.Reason, park.Detail)
	}
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
		if !first.led {
			m.Wait(e, m.Detail)
		}
		first.led = false
		m.enter(Unknown) // ask before anything is sent again
	case first.code != 0 && class == protocol.Refused:
		// Every copy of it was refused, and what is above was refused as out of order
		// or never written: nothing of it is in the log.
		m.refused(e, true, true)
	case first.led && class == protocol.RefreshRetriable:
		first.led = false
		m.enter(Ready) // it goes to the other leader without a pause
	default:
		// Certainly not appended, or never written: the same again, in order, after a
		// while. Never at once: a broker that answers at once would be asked for ever.
		m.Wait(e, m.Detail)
		if first.code != 0 && (class == protocol.Authorization || class == protocol.Fatal || class == protocol.Misfit) {
			m.slow(e) // only an operator can help
			e.event(TopicTrouble{Topic: m.Lane.Topic, Code: first.code, Message: m.Detail})
		}
		m.enter(Ready)
	}
}
