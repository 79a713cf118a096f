package sender

import (
	"fmt"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/spool"
)

// Resolved says what Resolve did.
type Resolved struct {
	Partitions []int32
	Records    int // that were in doubt
}

// Resolve carries out the operator's decision for parked partitions of topic: partition, or all
// of them if it is -1. It concerns sealed records in doubt only; with none in
// doubt every choice only unparks. Choice and effect are one commit.
func (s *Sender) Resolve(now spool.Time, topic string, n int32, c Choice) (*Effects, Resolved, error) {
	s.start(now)
	var r Resolved
	l := s.byTopic[topic]
	if l == nil {
		return s.end(), r, nothingToResolve("no record was ever spooled for topic %q", topic)
	}
	switch c {
	case ResolveResend, ResolveDelivered, ResolveDeadLetter, ResolveDeadLetterWaiting:
	default:
		return s.end(), r, &ResolveError{Why: fmt.Sprintf("%q is not a choice: resend, delivered or dead-letter", c)}
	}
	putAside := c == ResolveDeadLetter || c == ResolveDeadLetterWaiting
	if n >= 0 && (int(n) >= len(l.parts) || l.parts[n].Phase() != idempotence.Parked && !(putAside && l.parts[n].RefusedForNow())) {
		return s.end(), r, nothingToResolve("%s-%d is not parked", topic, n)
	}
	for _, p := range l.parts {
		if (p.Phase() == idempotence.Parked || putAside && p.RefusedForNow()) && (n < 0 || p.ID == n) && p.OnWire() > 0 {
			return s.end(), r, &ResolveError{Why: fmt.Sprintf("%s-%d still waits for the answer to a request: try again in a moment", topic, p.ID), Again: true}
		}
	}
	recreated := l.remote.Recreated
	for _, p := range l.parts {
		if putAside && (n < 0 || p.ID == n) && p.RefusedForNow() {
			r.Partitions = append(r.Partitions, p.ID)
			r.Records += p.SetAside(s.env(p), c)
			s.collect(p)
			s.activate(p)
			continue
		}
		if p.Phase() == idempotence.Parked && (n < 0 || p.ID == n) {
			// One that is the same topic after all was parked for the answer of a broker that did not have it yet and still had a former
			// one, and records of other partitions went on to it.
			recreated = recreated || p.Park().Reason == spool.ParkTopicRecreated && !l.remote.Same()
			r.Partitions = append(r.Partitions, p.ID)
			r.Records += p.InDoubt()
			p.Resolve(s.env(p), c)
			s.collect(p)
			s.activate(p)
		}
	}
	if len(r.Partitions) == 0 {
		return s.end(), r, nothingToResolve("no partition of %s is parked", topic)
	}
	s.all = true
	if recreated {
		s.changes.newIncarnation(l)
	}
	return s.end(), r, nil
}
