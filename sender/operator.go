package sender

import (
	"fmt"

	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// Resolved says what Resolve did.
type Resolved struct {
	Partitions []int32
	Records    int // that were in doubt
}

// Resolve is the operator's word for parked partitions of topic: partition, or all
// of them if it is -1. It speaks of sealed records in doubt only; with none in
// doubt every choice only unparks. Choice and effect are one commit.
func (s *Sender) Resolve(now spool.Time, topic string, n int32, c Choice) (*Effects, Resolved, error) {
	s.begin(now)
	var r Resolved
	l := s.byTopic[topic]
	if l == nil {
		return s.end(), r, fmt.Errorf("resolve: no record was ever spooled for topic %q", topic)
	}
	switch c {
	case ResolveResend, ResolveDelivered, ResolveDeadLetter:
	default:
		return s.end(), r, fmt.Errorf("resolve: %q is not a choice: resend, delivered or dead-letter", c)
	}
	if n >= 0 && (int(n) >= len(l.parts) || l.parts[n].phase != parked) {
		return s.end(), r, fmt.Errorf("resolve: %s-%d is not parked", topic, n)
	}
	for _, p := range l.parts {
		if p.phase == parked && (n < 0 || p.id == n) && p.onWire > 0 {
			return s.end(), r, fmt.Errorf("resolve: %s-%d still waits for the answer to a request: try again in a moment", topic, p.id)
		}
	}
	recreated := l.remote.Recreated
	for _, p := range l.parts {
		if p.phase == parked && (n < 0 || p.id == n) {
			// One that is the same topic after all was parked for the word of a broker that did not have it yet and knew a former
			// one, and records of other partitions went on to it.
			recreated = recreated || p.park.Reason == spool.ParkTopicRecreated && !l.remote.Same()
			r.Partitions = append(r.Partitions, p.id)
			r.Records += p.inDoubt()
			s.resolveParked(p, c)
		}
	}
	if len(r.Partitions) == 0 {
		return s.end(), r, fmt.Errorf("resolve: no partition of %q is parked", topic)
	}
	if recreated {
		s.newIncarnation(l)
	}
	return s.end(), r, nil
}

// resolveParked settles, moves or unseals what is in doubt of p and lets it go on
// at the next epoch: what the log holds of the former one is not known.
func (s *Sender) resolveParked(p *partition, c Choice) {
	records := p.inDoubt()
	s.audit("resolve %s-%d --%s: %d records in doubt (%s: %s)", p.lane.topic, p.id, c, records, p.park.Reason, p.park.Detail)
	list := append(append([]*inflight(nil), p.limbo...), p.window...)
	var keep []*inflight
	for _, inf := range list {
		switch {
		case c == ResolveDelivered || inf.acked:
			s.leave(p.lane, inf.seal.Spans, spool.OutcomeAcked)
			s.eff.Deliver = append(s.eff.Deliver, Delivery{
				Lane: p.lane.id, Spans: inf.seal.Spans, Partition: p.id, Offset: inf.offset, Timestamp: -1,
			})
		case c == ResolveDeadLetter:
			all := make([]int32, inf.seal.Count)
			for i := range all {
				all[i] = int32(i)
			}
			if inf.message == "" {
				inf.message = "resolved by the operator: " + p.park.Reason
			}
			s.deadLetter(p, inf, all)
		}
		keep = append(keep, inf)
	}
	p.limbo, p.limboReady = nil, false
	reason := p.park.Reason
	p.park, p.phase, p.via, p.detail = spool.Park{}, fresh, cluster.Way{}, ""
	p.attempts, p.retryAt = 0, 0
	s.reseal(p, keep, "resolved by the operator: "+string(c))
	if reason == spool.ParkLogWentBack || reason == spool.ParkTopicRecreated {
		p.ids.LastOffset, p.ids.LastMaxTimestamp, p.tailBase = protocol.NoOffset, 0, 0
	}
	s.mark(p)
	s.activate(p)
	s.event(PartitionUnparked{Topic: p.lane.topic, Partition: p.id, Choice: c, Records: records})
}

// newIncarnation binds a lane whose topic was recreated to the new one, once all its
// partitions are resolved: facts, offsets and sequences begin anew.
func (s *Sender) newIncarnation(l *lane) {
	for _, p := range l.parts {
		if p.phase == parked {
			return
		}
	}
	s.view.Rebind(l.remote)
	l.acc.Closed = false
	for _, p := range l.parts {
		p.ids.LastOffset, p.ids.LastMaxTimestamp, p.tailBase = protocol.NoOffset, 0, 0
		s.mark(p)
	}
	if planted.Is(planted.FewerPartitions) {
		l.remote.Count = l.acc.Partitions()
	}
	l.acc.ResetFacts(s.acc, l.remote.Bound, l.remote.Count) // it may have fewer partitions than the former one
	for _, p := range l.parts {
		p.q = l.acc.Partition(p.id)
	}
	l.feedID, s.feeding, l.bytes = 0, s.feeding-l.bytes, 0
	s.w.Bindings = append(s.w.Bindings, spool.LaneBinding{Lane: l.id, TopicID: l.remote.Bound, ResetFacts: true})
	s.urgent = true
}
