package idempotence

// pace is when a partition tries again, and why it waits.
type pace struct {
	// Detail is why the partition waits, for status. Whoever drives the machine may set it.
	Detail string
	// Progress is the Age of the last ack.
	Progress int64

	retryAt  int64
	pausing  bool // the resolver's pause is under way until retryAt
	attempts int
	healing  int  // how often the front waited for time to pass, since the last ack
	deadRoom bool // see WaitsForDeadRoom
}

// Wait notes why the partition waits, and has it tried again after a back-off.
func (p *pace) Wait(e *Env, detail string) {
	p.Detail = detail
	p.retryAt = e.Now.Age + p.Backoff(e)
	e.Wake(p.retryAt)
}

// Backoff is how long to wait before something is tried once more, in ms.
func (p *pace) Backoff(e *Env) int64 {
	p.attempts++
	return e.Config.Backoff.After(p.attempts)
}

// note keeps the reason that the partition waits, for people.
func (p *pace) note(b *Sealed) {
	if why := b.reason(); why != "" {
		p.Detail = why
		if right := b.code.MissingRight(); right != "" {
			p.Detail += ": " + right
		}
	}
}

// waits reports whether b is not to be sent yet.
func (p *pace) waits(e *Env, b *Sealed) bool {
	if e.Now.Age >= b.notUntil {
		return false
	}
	p.Detail = b.waitsFor
	e.Wake(b.notUntil)
	return true
}

// paused reports whether the resolver's pause is over. It begins one if there is none.
func (p *pace) paused(e *Env) bool {
	if p.retryAt <= e.Now.Age && !p.pausing {
		p.pausing = true
		p.Wait(e, p.Detail)
	}
	if e.Now.Age < p.retryAt {
		e.Wake(p.retryAt)
		return false
	}
	p.pausing = false
	return true
}

// slowMs is the least time between tries where only an operator can help.
const slowMs = 5000

// slow has the partition tried again later than a back-off.
func (p *pace) slow(e *Env) {
	p.retryAt = e.Now.Age + max(e.RetryBackoffMaxMs, slowMs)
	e.Wake(p.retryAt)
}

// atOnce has the partition tried again without a pause: what it waited for is decided.
func (p *pace) atOnce() { p.attempts, p.retryAt, p.Detail = 0, 0, "" }

// waitForDeadRoom has b, which was refused for good, wait until there is room for dead letters: it is sent now and then, and refused
// until then.
func (p *pace) waitForDeadRoom(e *Env, b *Sealed, topic string) {
	why := "refused for good, and dead letters take all of dlq.max.bytes, or of a full spool (dlq.full is block): replay or drop some of them (spoold dlq)"
	if !p.deadRoom {
		e.event(TopicTrouble{Topic: topic, Code: b.code, Message: why})
	}
	p.deadRoom, p.Detail = true, b.reason()+": "+why
	p.slow(e)
}

// WaitsForTime reports whether a record was refused for a timestamp that is taken later, since the last ack.
func (p *pace) WaitsForTime() bool { return p.healing > 0 }

// WaitsForDeadRoom reports whether a record was refused for good and waits for room for dead letters.
func (p *pace) WaitsForDeadRoom() bool { return p.deadRoom }
