package transaction

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// Resolve is the operator's word for topics that wait for one: with resend, a unit that came too late is tried again. What is put
// to the dead letters, see Waiting.
func (s *Sender) Resolve(now spool.Time, topic string, n int32, c sender.Choice) (*sender.Effects, sender.Resolved, error) {
	s.enter(now)
	l := s.byTopic[topic]
	var r sender.Resolved
	switch {
	case l != nil && l.parked == "" && n >= 0:
		return s.end(), r, &sender.ResolveError{Nothing: true, Why: fmt.Sprintf("under a transactional id records of one partition can be put aside only where the topic lacks it, "+
			"and no record waits for %s-%d so: for all that waits give the topic alone, with --waiting", topic, n)}
	case l == nil || l.parked == "":
		return s.end(), r, &sender.ResolveError{Nothing: true, Why: fmt.Sprintf("under a transactional id a transaction may be parked (spoold txn describe), and no topic or partition of %q is", topic)}
	case c == sender.ResolveDelivered:
		return s.end(), r, &sender.ResolveError{Why: fmt.Sprintf("nothing of %q is in doubt: its transaction was aborted", topic)}
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
// topic that is missing or may not be written to, that have a record for a partition that the topic does not have, or that are parked.
// With a partition it is those that have a record for it, where the topic does not have it: of others it is not known before they are
// sent which partition they go to. It is nil if there are none.
func (s *Sender) Waiting(topic string, n int32, c sender.Choice) *sender.Waiting {
	l := s.byTopic[topic]
	if l == nil || l.guest || c != sender.ResolveDeadLetter && c != sender.ResolveDeadLetterWaiting || l.settled.Low() >= l.end {
		return nil
	}
	w := &sender.Waiting{Lane: l.id, Topic: topic, From: max(l.gate, l.held), End: l.end, Why: l.detail}
	lacks := l.missing >= l.remote.Count && l.missing >= 0
	switch whole := l.parked != "" || l.remote.Code != protocol.None || s.now.Age < l.retryAt && !lacks; {
	case w.From >= w.End, n >= 0 && !(lacks && n >= l.remote.Count):
		return nil
	case n >= 0:
		w.Parts = []int32{n}
	case whole || c == sender.ResolveDeadLetterWaiting:
		w.All = true
	case lacks:
		w.Absent = true
	default:
		return nil
	}
	switch {
	case l.parked != "":
		// Of a parked unit alone: it is the first.
		w.Why = l.parked
		if c == sender.ResolveDeadLetter {
			w.End = w.From + 1
		}
	case !w.All:
		w.Why = l.lacks()
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

// Sweep dead-letters the units that begin among some records of w, or that have one of them for a partition that w means, each
// whole. No unit that a transaction carries is touched.
func (s *Sender) Sweep(now spool.Time, w *sender.Waiting, sections []spool.Section, _ bool) (*sender.Effects, int) {
	s.enter(now)
	l := s.lanes[w.Lane]
	u := deadUnit{lane: l.id, code: l.remote.Code, message: "put aside by the operator: " + w.Why}
	if u.code == protocol.None && !w.All {
		u.code = protocol.UnknownTopicOrPartition
	}
	count := 0
	for k := range sections {
		err := sections[k].Each(func(i spool.Index, e *spool.Entry) bool {
			if runs := e.Runs(); runs != nil {
				l.swept = append(l.swept[:0], runs...) // the entries that follow are of the same unit
			} else if !covers(l.swept, l.id, i) {
				l.swept = append(l.swept[:0], spool.UnitRun{Lane: l.id, First: i, Count: 1})
			}
			if i >= w.From && i < w.End && i >= l.gate && !l.settled.Contains(i) && l.means(w, e.Partition) {
				u.runs, u.index, u.partition = l.swept, i, e.Partition
				count += s.putAside(u)
			}
			return true
		})
		if err != nil {
			s.stop = &sender.DamageError{Err: fmt.Errorf("topic %q: %w", l.topic, err)}
			return s.end(), count
		}
	}
	if count > 0 {
		s.audit("resolve %s: %d records that waited were put to the dead letters, with all of their transactions (%s)", l.topic, count, w.Why)
		s.reader.release(noTopic)
		s.reader.release(otherLane)
	}
	return s.end(), count
}

// means reports whether w is about a record that was spooled for partition n; -1: the partitioner chooses.
func (l *lane) means(w *sender.Waiting, n int32) bool {
	return w.All || n >= l.remote.Count && (w.Absent || slices.Contains(w.Parts, n))
}

// covers reports whether entry i of a lane is of a unit.
func covers(runs []spool.UnitRun, lane spool.LaneID, i spool.Index) bool {
	return slices.ContainsFunc(runs, func(r spool.UnitRun) bool { return r.Lane == lane && i >= r.First && i < r.Span().End })
}

func (s *Sender) putAside(u deadUnit) int {
	count := 0
	for _, r := range u.runs {
		if int(r.Lane) >= len(s.lanes) || s.lanes[r.Lane].gate > r.First || r.First < s.lanes[r.Lane].held {
			return 0
		}
		count += r.Count
	}
	s.runner.bury([]deadUnit{u})
	s.lanes[u.lane].missing = -1
	return count
}

// stuck reports whether the next unit has a record for a partition that the topic does not have.
func (l *lane) stuck() bool { return l.missing >= l.remote.Count && l.skip(l.gate) >= l.lacking }

// lacks says what the units behind a stuck one wait for.
func (l *lane) lacks() string {
	return fmt.Sprintf("records wait for partition %d, the topic has %d", l.missing, l.remote.Count)
}

// waitsFor has the unit whose run in l is r wait if it is stuck, and reports whether it does. Those before it go on.
func (l *lane) waitsFor(r *spool.UnitRun) bool {
	if l.missing < l.remote.Count || r.Span().End <= l.lacking {
		return false
	}
	l.lacking, l.canWrite, l.detail = r.First, false, l.lacks()
	return true
}

// cannotWrite notes that the next unit waits for another topic.
func (l *lane) cannotWrite(other *lane) {
	l.detail = fmt.Sprintf("the transaction has records for topic %s, too, which cannot be written to", other.topic)
}
