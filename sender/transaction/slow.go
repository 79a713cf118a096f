package transaction

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
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

// Resolve is the operator's word for topics that wait for one: with resend, a unit that came too late is tried again. What is put
// to the dead letters, see Waiting.
func (s *Sender) Resolve(now spool.Time, topic string, _ int32, c sender.Choice) (*sender.Effects, sender.Resolved, error) {
	s.enter(now)
	l := s.byTopic[topic]
	var r sender.Resolved
	switch {
	case l == nil || l.parked == "":
		return s.end(), r, &sender.NotParkedError{What: fmt.Sprintf("under a transactional id a transaction may be (spoold txn describe), and no partition of %q is", topic)}
	case c == sender.ResolveDelivered:
		return s.end(), r, fmt.Errorf("resolve: nothing of %q is in doubt: its transaction was aborted", topic)
	}
	s.audit("resolve %s: %s", topic, l.parked)
	for _, x := range s.lanes {
		if x.parked == l.parked {
			x.parked, x.detail, x.retryAt = "", "", 0
			r.Partitions = append(r.Partitions, 0)
		}
	}
	r.Partitions = r.Partitions[:0]
	s.reader.release(noTopic)
	return s.end(), r, nil
}

// Waiting finds which units of a topic wait for something that may never come, for an operator who puts them aside: those of a
// topic that is missing, may not be written to, lacks a partition, or is parked. It is nil if there are none.
func (s *Sender) Waiting(topic string, n int32, c sender.Choice) *sender.Waiting {
	l := s.byTopic[topic]
	if l == nil || l.guest || n >= 0 || c != sender.ResolveDeadLetter && c != sender.ResolveDeadLetterWaiting || l.settled.Low() >= l.end {
		return nil
	}
	cannot := l.parked != "" || l.remote.Code != protocol.None || l.missing >= l.remote.Count || s.now.Age < l.retryAt
	if !cannot && c != sender.ResolveDeadLetterWaiting {
		return nil
	}
	w := &sender.Waiting{Lane: l.id, Topic: topic, From: l.gate, End: l.end, Why: l.detail}
	if w.From = max(w.From, l.held); w.From >= w.End {
		return nil
	}
	if l.parked != "" {
		// Of a parked unit alone: it is the first.
		w.Why = l.parked
		if c == sender.ResolveDeadLetter {
			w.End = w.From + 1
		}
	}
	if link := s.view.Link(); w.Why == "" && !link.Up {
		if w.Why = link.Err; w.Why == "" {
			w.Why = "the cluster was not reached"
		}
	}
	if w.Why == "" {
		w.Why = "the cluster had not acked it"
	}
	return w
}

// Sweep dead-letters the units that begin among some records of w, each whole. No unit that a transaction carries is touched.
func (s *Sender) Sweep(now spool.Time, w *sender.Waiting, sections []spool.Section, _ bool) (*sender.Effects, int) {
	s.enter(now)
	l := s.lanes[w.Lane]
	code, count := l.remote.Code, 0
	for k := range sections {
		rest := sections[k].Bytes
		for _, sp := range sections[k].Spans {
			for i := sp.First; i < sp.End; i++ {
				e, r, err := spool.NextEntry(rest)
				if err != nil {
					s.stop = &sender.DamageError{Err: fmt.Errorf("entry %d of topic %q: %w", i, l.topic, err)}
					return s.end(), count
				}
				rest = r
				if i < w.From || i >= w.End || i < l.gate || l.settled.Contains(i) {
					continue
				}
				runs := e.Runs()
				if runs == nil {
					runs = []spool.UnitRun{{Lane: l.id, First: i, Count: 1}}
				}
				count += s.putAside(runs, l, i, code, w.Why)
			}
		}
	}
	if count > 0 {
		s.audit("resolve %s: %d records that waited were put to the dead letters, with all of their transactions (%s)", l.topic, count, w.Why)
		s.reader.release(noTopic)
		s.reader.release(otherLane)
	}
	return s.end(), count
}

func (s *Sender) putAside(runs []spool.UnitRun, l *lane, i spool.Index, code protocol.ErrorCode, why string) int {
	count := 0
	for _, r := range runs {
		if int(r.Lane) >= len(s.lanes) || s.lanes[r.Lane].gate > r.First || r.First < s.lanes[r.Lane].held {
			return 0
		}
		count += r.Count
	}
	s.runner.bury([]deadUnit{{runs: runs, lane: l.id, index: i, partition: -1, code: code, message: "put aside by the operator: " + why}})
	l.missing = -1
	return count
}
