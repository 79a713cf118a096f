package idempotence

import (
	"slices"
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
	code, why, text := b.code, b.why(place), "the timestamp is ahead of the broker's clock; it is tried again until that is no longer so"
	if stamp, err := b.Batch.Timestamp(place); err == nil && stamp <= e.Now.Wall {
		text = "the timestamp is outside of what the topic takes (message.timestamp.before.max.ms, message.timestamp.after.max.ms), by the broker's clock; " +
			"it is tried again until that is no longer so, or it is put aside"
	}
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
	pause := int64(healFirstMs)
	for range m.healing {
		pause = min(2*pause, healLastMs)
	}
	b.notUntil = e.Now.Age + pause
	if why != "" {
		text += " (" + why + ")"
	}
	b.waitsFor = code.String() + ": " + text
	e.Wake(b.notUntil)
	if m.healing++; m.healing == 1 {
		e.event(TopicTrouble{Topic: m.Lane.Topic, Code: code, Message: text})
	}
	if !final || m.doubtful() || slices.ContainsFunc(m.window, func(b *Sealed) bool { return b.Batch == nil }) {
		m.enter(Unknown) // the resolver goes on with the rest, once this one is taken
	}
}
