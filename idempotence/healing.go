package idempotence

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// A record whose timestamp is ahead of the broker's clock, as a host with a fast clock stamps it, is refused now and taken
// later. It waits under its sequence, and with it what stands behind it in its partition: order is kept. So does one that is a
// little behind this host's clock: whether the topic takes it depends on whose clock is right, and on the topic's limits.

const (
	healFirstMs = 5_000   // between the first tries
	healLastMs  = 300_000 // at most
	// staleMs is how much older than this host's clock a record must be for its refusal to be for good: it was too old
	// when it came, and gets older.
	staleMs = 3_600_000
)

// waitForTime has the front of the window wait from the record at a place on. What is before it goes at once. final: no copy
// is unaccounted for, so the seal may be taken for new whenever it is sent again.
func (m *Machine) waitForTime(e *Env, place int32, final bool) {
	b := m.window[0]
	code, why, text := b.code, b.why(place), healText(e, b, place)
	if place > 0 {
		if b = m.cut(e, []int32{place}, final); b == nil {
			return
		}
		b.code, b.message = code, why
	} else if final {
		b.Seal.SealedAt, b.Seal.SealedAge = e.Now.Wall, e.Now.Age
		b.durable = false
		e.putSeal(b)
		m.Mark(e)
	}
	b.notUntil = e.Now.Age + m.healPause()
	b.waitsFor = code.String() + ": " + text
	e.Wake(b.notUntil)
	m.heal(e, m.Lane.Topic, code, text)
	if !final || m.doubtful() || slices.ContainsFunc(m.window, func(b *Sealed) bool { return b.Batch == nil }) {
		m.enter(Unknown) // the resolver goes on with the rest, once this one is taken
	}
}

// waitInDoubt has the resolver's pause last until b, of which every refused record is healed by time, is tried again. The batch stays as it
// is; where a copy may be is asked again before each further one.
func (p *pace) waitInDoubt(e *Env, b *Sealed, place int32, topic string) {
	text := healText(e, b, place)
	p.retryAt, p.pausing, p.Detail = e.Now.Age+p.healPause(), true, b.code.String()+": "+text
	e.Wake(p.retryAt)
	p.heal(e, topic, b.code, text)
}

// heal notes that the front waits for time to pass once more.
func (p *pace) heal(e *Env, topic string, code protocol.ErrorCode, text string) {
	if p.healing++; p.healing == 1 {
		e.event(TopicTrouble{Topic: topic, Code: code, Message: text})
	}
}

// healPause is how long to wait before the next try, in ms.
func (p *pace) healPause() int64 {
	pause := int64(healFirstMs)
	for range p.healing {
		pause = min(2*pause, healLastMs)
	}
	return pause
}

// healText says what the record at a place waits for.
func healText(e *Env, b *Sealed, place int32) string {
	why, text := b.why(place), "the timestamp is ahead of the broker's clock; it is tried again until that is no longer so"
	if stamp, err := b.Batch.Timestamp(place); err == nil && stamp <= e.Now.Wall && !protocol.TimestampAhead(why, stamp) {
		text = "the timestamp is outside of what the topic takes (message.timestamp.before.max.ms, message.timestamp.after.max.ms), by the broker's clock; " +
			"it is tried again until that is no longer so, or it is put aside"
	}
	if why != "" {
		text += " (" + why + ")"
	}
	return text
}
