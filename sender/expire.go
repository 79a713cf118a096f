package sender

import (
	"errors"
	"fmt"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// ErrExpired says that a record was not delivered within delivery.timeout.ms.
var ErrExpired = errors.New("not delivered within delivery.timeout.ms, a dead letter now")

// expiredError is ErrExpired with what the record waited for.
type expiredError struct{ why string }

func (e *expiredError) Error() string        { return ErrExpired.Error() + ": " + e.why }
func (e *expiredError) Is(target error) bool { return target == ErrExpired }

// ErrDropped says that policy dropped a record: it is no dead letter.
var ErrDropped = errors.New("the record was dropped by policy")

// Expire finds the records of a lane below end that have waited for too long and may be given up, or nil. What is sealed is given up
// only while no copy of it can be in the log: what is in doubt is resolved first. Below swept it was done before.
func (s *Sender) Expire(id spool.LaneID, end, swept spool.Index) *Waiting {
	if s.e.DeadFull {
		return nil
	}
	return s.overdue(&Waiting{Lane: id, End: end, expired: true}, swept)
}

// Drop is Expire for records that are not kept as dead letters, because of a policy that rule names.
func (s *Sender) Drop(id spool.LaneID, end, swept spool.Index, rule string) *Waiting {
	return s.overdue(&Waiting{Lane: id, End: end, dropped: rule}, swept)
}

func (s *Sender) overdue(w *Waiting, swept spool.Index) *Waiting {
	l := s.lane(w.Lane)
	w.Topic, w.From, w.End, w.Why, w.All = l.topic, l.acc.Settled(), min(w.End, l.acc.End), s.whyWaiting(l, protocol.NoPartition), true
	if w.From >= w.End || s.stop != nil {
		return nil
	}
	for _, p := range l.parts {
		if idempotence.Unsealable(p.Machine, w.End) {
			return w
		}
	}
	if w.From = max(w.From, swept); w.From >= w.End {
		return nil
	}
	return w
}

// unsealExpired gives the seals of records that Expire found back, before they are put aside.
func (s *Sender) unsealExpired(l *lane, end spool.Index, why string) {
	for _, p := range l.parts {
		if idempotence.Unsealable(p.Machine, end) {
			idempotence.UnsealAll(p.Machine, s.env(p), why)
			s.collect(p)
		}
	}
}

// whyWaiting is what records of l for partition n (of any, if it is negative) wait for, for people who read it when they have left.
func (ts *topics) whyWaiting(l *lane, n int32) string {
	link := ts.view.Link()
	absent, ok := l.acc.AbsentPartition()
	switch count := l.acc.Partitions(); {
	case l.remote.Code != protocol.None:
		return l.remote.Code.String() + ": " + cluster.Why(l.remote.Code)
	case ok && n >= count:
		return fmt.Sprintf("the topic has no partition %d: it has %d", n, count)
	case ok && n < 0:
		return fmt.Sprintf("records wait for partition %d, the topic has %d", absent, count)
	case !link.Up && link.Err != "":
		return link.Err
	case !link.Up:
		return "the cluster was not reached"
	case ts.denied:
		return ts.noIdentity
	}
	for _, p := range l.parts {
		if p.Detail != "" && (n < 0 || p.ID == n) {
			return fmt.Sprintf("partition %d: %s", p.ID, p.Detail)
		}
	}
	return "the cluster had not acked it"
}

// expire puts one record aside that has waited for too long.
func (s *Sender) expire(l *lane, i spool.Index, n int32, why string) {
	err := &expiredError{why}
	s.leaves(l, spool.DeadLetter{Lane: l.id, Index: i, Partition: n, Code: protocol.RequestTimedOut, Message: err.Error(), At: s.now.Wall}, spool.OutcomeExpired, err)
	s.event(RecordDeadLettered{Topic: l.topic, Partition: n, Index: i, Code: protocol.RequestTimedOut, Message: err.Error()})
}

// drop has one record leave that policy does not keep.
func (s *Sender) drop(w *Waiting, l *lane, i spool.Index, n int32) {
	// Without a partition: neighbours are one gap, however they would have been spread.
	s.leave(l, spool.Settlement{
		Lane: l.id, Spans: []spool.Span{{First: i, End: i + 1}}, Outcome: spool.OutcomeExpired, Why: w.dropped, At: s.now.Wall, Partition: n,
	}, fmt.Errorf("%w: %s (%s)", ErrDropped, w.dropped, w.Why))
}
