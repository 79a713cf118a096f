package transaction

import (
	"fmt"

	"github.com/spoold/spoold/sender"
)

// pace is how much a transaction may carry to end in time, and how much time it asks for.
type pace struct {
	maxBytes  int   // of a transaction of several units, after one came too late; 0: as configured
	timeoutMs int64 // that InitProducerId asks for; 0: as configured
	accepted  int64 // the longest that the coordinator has accepted
	refused   int64 // the shortest that it has refused; 0: none
	tries     int   // of one unit alone, with all the time that there is
}

const (
	slowTries  = 2 // with the broker's longest time-out, before a unit is parked
	slowFactor = 4 // by which the time-out is raised while no limit is known
)

// limitBytes is how much a transaction takes before it is full.
func (s *runner) limitBytes() int {
	if s.pace.maxBytes > 0 {
		return min(s.pace.maxBytes, s.cfg.MaxBytes)
	}
	return s.cfg.MaxBytes
}

// timeoutMs is the time that a transaction has.
func (s *runner) timeoutMs() int64 { return max(s.cfg.TimeoutMs, s.pace.timeoutMs) }

// tooSlow: a transaction could not end in time though nothing stood in its way. The next one carries less; one unit alone is
// given more time, up to the broker's transaction.max.timeout.ms, and is parked when that is not enough.
func (s *runner) tooSlow(c *cut) {
	sent := 0
	for i := range c.acked {
		sent += c.acked[i].bytes
	}
	if c.admitted > 1 {
		s.pace.maxBytes = max(min(sent, s.limitBytes())/2, 1)
		return
	}
	if c.online == nil && s.raiseTimeout() {
		return
	}
	if s.pace.tries++; s.pace.tries < slowTries || c.online != nil {
		return
	}
	s.pace.tries = 0
	s.parkUnit(c, sent)
}

// raiseTimeout asks for more time in the next transaction, and reports false if there is no more.
func (s *runner) raiseTimeout() bool {
	p := &s.pace
	now := s.timeoutMs()
	p.accepted = max(p.accepted, now)
	next := now * slowFactor
	if p.refused > 0 {
		next = (p.accepted + p.refused) / 2
		if p.refused-p.accepted <= p.accepted/8 {
			return false
		}
	}
	if next > 1<<31-1 {
		return false
	}
	p.timeoutMs = next
	s.m.SetTimeout(int32(next))
	return true
}

// timeoutRefused takes INVALID_TRANSACTION_TIMEOUT, and reports whether another one is to be tried.
func (s *runner) timeoutRefused() bool {
	p := &s.pace
	asked := s.timeoutMs()
	if asked <= max(s.cfg.TimeoutMs, p.accepted) {
		return false
	}
	p.refused = asked
	if p.timeoutMs = (p.accepted + asked) / 2; p.timeoutMs-p.accepted <= p.accepted/16 {
		p.timeoutMs = p.accepted
	}
	return true
}

// inTime: a transaction ended in time. More goes into the next one, and the time-out is as configured again.
func (s *runner) inTime() {
	p := &s.pace
	p.tries = 0
	if p.maxBytes > 0 {
		if p.maxBytes *= 2; p.maxBytes >= s.cfg.MaxBytes {
			p.maxBytes = 0
		}
	}
	if p.timeoutMs > 0 && s.m != nil {
		p.timeoutMs = 0
		s.m.SetTimeout(int32(s.cfg.TimeoutMs))
	}
}

// parkUnit has the topics of the only unit of c wait for an operator.
func (s *runner) parkUnit(c *cut, sent int) {
	took := max(s.now.Age-c.beganAt, 1)
	why := fmt.Sprintf("a transaction of at least %d records, %d bytes, cannot end within %d ms, about the longest that the brokers allow (transaction.max.timeout.ms): "+
		"%d bytes left in %d ms, it needs more than %d bytes a second: raise that, or spoold resolve TOPIC --dead-letter or --resend",
		c.records, c.bytes, s.timeoutMs(), sent, took, int64(c.bytes)*1000/max(s.timeoutMs()*3/4, 1))
	for _, l := range c.lanes {
		l.parked = why
	}
	s.event(sender.TransactionTrouble{ID: s.cfg.ID, Message: why})
	s.inTime()
}
