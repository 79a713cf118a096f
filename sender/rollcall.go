package sender

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
)

// rollCall is a start's question to the leaders of all partitions that its pending records may go to: is the last
// start's producer id known there beyond what this spool sent under it? Then this spool is an older copy (P11), and
// others have sent those records meanwhile. It comes before a new producer id is asked for, so before anything new is
// sent: a partition is otherwise asked only when it is its turn, and records without a key are not sent to the
// partitions that the original sent them to. The former id stays on disk until it is over, so that a start that is
// interrupted forgets nothing.
type rollCall struct {
	over     bool
	until    int64 // Age at which those that have not answered are waited for no more; 0: not begun
	retryAt  int64
	attempts int
}

// perCall bounds the partitions in one question: the answer names every producer of each.
const perCall = 64

// waiting for the roll call is what a partition with records does meanwhile.
const waitsForRollCall = "the leaders are asked whether an older copy of this spool was used"

// called reports whether the roll call is over, and carries it on if not.
func (s *Sender) called() bool {
	c := &s.call
	if c.over {
		return true
	}
	missing := 0
	for _, l := range s.lanes {
		if !l.mustAnswer() {
			continue
		}
		if l.code != protocol.None && !s.absent(l) {
			missing++ // who leads its partitions is not told for now; one that is not there cannot have been used either
		}
		for _, p := range l.parts {
			if !p.present && p.id < l.has {
				missing++
			}
		}
		missing += max(0, int(l.knew()-l.has)) // a broker that has not heard of all: Kafka takes no partition away
	}
	switch {
	case missing == 0 || !s.former.Valid():
		c.over = true
	case c.until == 0:
		c.until = s.now.Age + s.cfg.RequestTimeoutMs
	case s.now.Age >= c.until:
		c.over = true // what is asked later is still compared with the former id, by this start
		s.event(CopyUnchecked{Unasked: missing})
	}
	if c.over {
		return true
	}
	s.wake(c.until)
	if s.now.Age < c.retryAt {
		s.wake(c.retryAt)
		return false
	}
	s.callAll()
	return false
}

// absent reports whether a topic is not there. A broker that is cut off from the others has not heard of those that were
// created since: two have to say so, each when it was asked by itself, and the next one is. Where there is one broker, its
// word is enough.
func (s *Sender) absent(l *lane) bool {
	if l.code != protocol.UnknownTopicOrPartition {
		return false
	}
	other, _ := s.otherThan(l.absentAt)
	if m := &s.meta; !l.absent && other != nil && m.from == AnyBroker && !m.asked {
		m.from, m.want = other.id, true
	}
	return l.absent || len(s.brokers) < 2
}

// missedBy notes that a broker which was asked by itself has not heard of the topic.
func (l *lane) missedBy(broker int32) {
	if l.code != protocol.UnknownTopicOrPartition {
		return
	}
	l.absent = l.absent || l.absentAt != AnyBroker && l.absentAt != broker
	l.absentAt = broker
}

// mustAnswer reports whether the leaders of the lane's partitions are part of the roll call.
func (l *lane) mustAnswer() bool { return l.backlog && !l.recreated && l.suspect.IsZero() }

// knew is how many partitions of the topic the spool has heard of, as far as it wrote that down: with records that have keys,
// and where something was acked.
func (l *lane) knew() (n int32) {
	for _, f := range l.facts.Counts {
		n = max(n, f.Count)
	}
	for _, p := range l.parts {
		if p.ids.LastOffset != protocol.NoOffset {
			n = max(n, p.id+1)
		}
	}
	return n
}

// callAll asks each leader that is connected, and connects to the others.
func (s *Sender) callAll() {
	for _, b := range s.brokers {
		var parts []*partition
		for _, l := range s.lanes {
			for _, p := range l.parts {
				if l.mustAnswer() && p.leader == b.id && !p.present && len(parts) < perCall {
					parts = append(parts, p)
				}
			}
		}
		switch {
		case len(parts) == 0 || b.calling:
		case !b.up:
			s.connect(b)
		default:
			b.calling = true
			d := kmsg.NewPtrDescribeProducersRequest()
			q := &request{kind: reqRollCall, parts: parts}
			for _, p := range parts {
				d.Topics = addDescribe(d.Topics, p)
			}
			s.request(Request{Kind: KindControl, Broker: b.id, Message: d, MaxVersion: -1}, q)
		}
	}
}

func (s *Sender) onRollCall(q *request, resp Response) {
	if b := s.broker(q.broker); b != nil {
		b.calling = false
	}
	r, ok := resp.Message.(*kmsg.DescribeProducersResponse)
	failed := resp.Err != nil || !ok
	for _, p := range q.parts {
		if failed || s.stop != nil {
			break
		}
		a := &asking{}
		s.described(p, a, r)
		if a.failed && a.wantFresh {
			s.meta.want = true
		}
		failed = failed || a.failed
		p.present = !a.failed // who may not ask never learns
		s.beyond(p, a)
	}
	if c := &s.call; failed {
		c.attempts++
		c.retryAt = s.now.Age + s.backoff(c.attempts)
		s.wake(c.retryAt)
	}
}

// beyond stops for good if the answer shows a use of the former producer id that this spool does not know of.
func (s *Sender) beyond(p *partition, a *asking) {
	if a.foreign != "" {
		s.stopForGood(p, a.foreign)
		return
	}
	if a.named == nil {
		return
	}
	r := s.newResolver(p)
	r.Described(s.now, *a.named)
	if step := r.Next(s.now); step.Do == recovery.Stop {
		s.stopForGood(p, step.Detail)
	}
}
