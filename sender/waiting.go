package sender

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Waiting says which records of a lane an operator puts aside although nothing of them is in doubt: they are not
// sealed, and wait for something that may never come.
type Waiting struct {
	Lane  spool.LaneID
	Topic string
	From  spool.Index // where to begin to read
	End   spool.Index // records that come later are not meant
	Why   string      // what they wait for

	All    bool    // whatever partition they are for
	Absent bool    // those for partitions that the topic does not have
	Parts  []int32 // those for these partitions

	expired bool   // for delivery.timeout.ms, not by an operator
	dropped string // not "": they are not kept, because of this rule
}

// Waiting finds what c means for topic and partition n (all of them if it is -1) beyond what is in doubt, or nil.
// DeadLetter means records that cannot leave: for a topic that is not there or may not be written, or for a partition that the
// topic does not have. DeadLetterWaiting means all that are not sealed.
func (s *Sender) Waiting(topic string, n int32, c Choice) *Waiting {
	l := s.byTopic[topic]
	if l == nil || c != ResolveDeadLetter && c != ResolveDeadLetterWaiting {
		return nil
	}
	w := &Waiting{Lane: l.id, Topic: topic, From: l.acc.Settled(), End: l.acc.End, Why: s.whyWaiting(l, n)}
	every := c == ResolveDeadLetterWaiting || l.remote.Code != protocol.None
	_, absent := l.acc.AbsentPartition()
	switch {
	case every && n < 0:
		w.All = true
	case every || absent && n >= l.acc.Partitions():
		w.Parts = []int32{n}
	case n < 0:
		w.Absent = absent
	}
	for _, p := range l.parts {
		if (n < 0 || p.ID == n) && p.RefusedForNow() {
			w.Parts = append(w.Parts, p.ID)
		}
	}
	if !w.All && !w.Absent && len(w.Parts) == 0 {
		return nil
	}
	return w
}

// Sweep dead-letters those of some records that w means, and reports how many it was. It is called for all records from w.From
// to w.End, in order and without a pause by anything but Writes; last: these are the last of them.
func (s *Sender) Sweep(now spool.Time, w *Waiting, sections []spool.Section, last bool) (*Effects, int) {
	s.start(now)
	l := s.lane(w.Lane)
	if !l.sweeping {
		switch {
		case w.expired:
			s.unsealExpired(l, w.End, "delivery.timeout.ms is over")
		case w.dropped != "":
			s.unsealExpired(l, w.End, w.dropped)
		}
		s.feeds.unqueue(l)
	}
	l.sweeping, s.all = !last, true
	s.feeds.wantFeed(l)
	sealed := spool.NewSet(0)
	for _, p := range l.parts {
		for _, sp := range p.SealedSpans() {
			sealed.Add(sp)
		}
	}
	refused := &RefusedError{Message: w.Why}
	code := l.remote.Code
	if code == protocol.None && w.Absent {
		code = protocol.UnknownTopicOrPartition
	}
	if code != protocol.None {
		refused.Code = code.String()
	}
	count := 0
	for k := range sections {
		err := sections[k].Each(func(i spool.Index, e *spool.Entry) bool {
			if i < w.From || i >= w.End || l.acc.Left(i) || sealed.Contains(i) {
				return true
			}
			n, placed := l.acc.PlacedAt(s.cfg.Partitioner, i, e)
			if !w.means(l, n, placed) {
				return true
			}
			if !placed {
				n = protocol.NoPartition
			}
			switch {
			case w.expired:
				s.expire(l, i, n, w.Why)
			case w.dropped != "":
				s.drop(w, l, i, n)
			default:
				s.putAside(l, i, n, code, refused)
			}
			count++
			return true
		})
		if err != nil {
			s.stop = &DamageError{fmt.Errorf("topic %q: %w", l.topic, err)}
			return s.end(), count
		}
	}
	if count > 0 {
		s.auditSweep(w, count)
	}
	return s.end(), count
}

// auditSweep notes what a step of a sweep came to.
func (s *Sender) auditSweep(w *Waiting, count int) {
	switch {
	case w.dropped != "":
		s.event(RecordsDropped{Topic: w.Topic, Records: count, Rule: w.dropped, Why: w.Why})
	case w.expired:
		s.audit("%s: %d records expired, delivery.timeout.ms is over (%s)", w.Topic, count, w.Why)
	default:
		s.audit("resolve %s: %d records that waited were put to the dead letters (%s)", w.Topic, count, w.Why)
	}
}

func (w *Waiting) means(l *lane, n int32, placed bool) bool {
	return w.All || placed && (w.Absent && n >= l.acc.Partitions() || slices.Contains(w.Parts, n))
}

func (s *Sender) putAside(l *lane, i spool.Index, n int32, code protocol.ErrorCode, refused *RefusedError) {
	s.leaves(l, spool.DeadLetter{
		Lane: l.id, Index: i, Partition: n, Code: code, Message: "put aside by the operator: " + refused.Message, At: s.now.Wall,
	}, spool.OutcomeDeadLettered, refused)
}

// gapWhy is in the record of what has expired.
const gapWhy = "delivery.timeout.ms is over; a dead letter now"

// leaves has a record leave as a dead letter, for err.
func (s *Sender) leaves(l *lane, d spool.DeadLetter, o spool.Outcome, err error) {
	s.e.Write.DeadLetters = append(s.e.Write.DeadLetters, d)
	s.leave(l, spool.Settlement{
		Lane: l.id, Spans: []spool.Span{{First: d.Index, End: d.Index + 1}}, Outcome: o, Why: gapWhy, At: d.At, Partition: d.Partition, HasPartition: d.Partition >= 0,
	}, err)
}

// leave has records leave that are not sealed, for err.
func (s *Sender) leave(l *lane, x spool.Settlement, err error) {
	s.e.Write.Settle = append(s.e.Write.Settle, x)
	l.acc.Settle(s.acc, x.Spans)
	s.left(l)
	s.e.Deliver = append(s.e.Deliver, spool.Delivery{
		Lane: l.id, Spans: x.Spans, Partition: x.Partition, Offset: protocol.NoOffset, Timestamp: -1, Err: err,
	})
	s.e.Urgent = true
}
