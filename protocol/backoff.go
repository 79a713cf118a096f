package protocol

import "math/rand/v2"

// Backoff says how long to wait before a request is tried again: exponential from Ms up to MaxMs, with a
// jitter of 20 % either way, and never above MaxMs (KIP-580). Not safe for concurrent use.
type Backoff struct {
	Ms    int64 // retry.backoff.ms
	MaxMs int64 // retry.backoff.max.ms; if it is not above Ms, every wait is as long as it, without jitter
	Rand  *rand.Rand
}

// After is how long to wait before try number attempt, from 1, in ms; at least 1.
func (b *Backoff) After(attempt int) int64 {
	if b.Ms >= b.MaxMs {
		return max(b.MaxMs, 1)
	}
	d := b.Ms
	for i := 1; i < attempt && d < b.MaxMs; i++ {
		d *= 2
	}
	d = min(d, b.MaxMs)
	return max(min(d*(80+b.Rand.Int64N(41))/100, b.MaxMs), 1)
}
