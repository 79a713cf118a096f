package sender

import (
	"slices"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// viewChanged carries out what the view of the cluster learnt.
func (s *Sender) viewChanged() {
	for _, c := range s.view.Changes() {
		switch c.Kind {
		case cluster.LinkChanged:
			s.event(LinkChanged{Up: c.Up, Err: c.Text})
			if c.Up {
				s.foreignCluster = ""
			}
		case cluster.ClusterBound:
			s.e.Write.ClusterID, s.e.Urgent = c.Text, true
		case cluster.ClusterForeign:
			s.foreign(&ForeignClusterError{Bound: s.view.ID(), Found: c.Text})
		case cluster.MetadataTaken:
			s.acc.WakeLanes()
		case cluster.ExpirationRead:
			// Never wider than five sixths of the cluster's setting (20 of 24 hours).
			s.e.MarginMs = min(s.e.MarginMs, max(c.Ms/6*5, 1))
		default:
			s.topicChanged(s.lanes[c.Topic.Number], &c)
		}
	}
}

// foreign: the brokers are of another cluster. That is an outage, unless the operator wants to know at the start.
func (s *Sender) foreign(err *ForeignClusterError) {
	if s.cfg.CheckCluster && s.view.Generation() == 0 {
		s.stop = err
	}
	if s.foreignCluster != err.Found { // the link may have been down already, for another reason
		s.foreignCluster = err.Found
		s.event(LinkChanged{Err: err.Error()})
	}
}

// topicChanged takes one change of a topic.
func (s *Sender) topicChanged(l *lane, c *cluster.Change) {
	switch c.Kind {
	case cluster.TopicFailed:
		if c.Text != "" {
			s.event(TopicTrouble{Topic: l.topic, Code: c.Code, Message: c.Text})
		}
		for _, p := range l.parts {
			p.Block(&s.e, true)
		}
	case cluster.TopicReturned:
		l.undecided = l.undecided && !c.Up
		l.acc.Closed = !c.Up // if it was the same topic after all, records for partitions that are not parked go on
		s.wantFeed(l)
	case cluster.TopicBound:
		s.e.Write.Bindings = append(s.e.Write.Bindings, spool.LaneBinding{Lane: l.id, TopicID: l.remote.Bound})
		s.e.Urgent = true
	case cluster.TopicRecreated:
		s.recreated(l)
	case cluster.TopicUpdated:
		l.acc.SetPartitions(l.remote.Count)
		for n := range l.remote.Count {
			s.partition(l, n)
		}
		s.wantFeed(l)
	case cluster.LeaderChanged:
		s.leaderChanged(s.partition(l, c.Partition), c.Up)
	}
}

// leaderChanged: p has another leader, or its leader a new epoch.
func (s *Sender) leaderChanged(p *partition, epoch bool) {
	leader, _ := p.leader()
	p.LeaderChanged(s.env(p), leader >= 0, epoch)
	if !p.Queue.Empty() || p.InFlight() > 0 {
		s.activate(p)
	}
	if p.Phase() != idempotence.Parked && !p.lane.remote.Recreated {
		p.Block(&s.e, leader < 0)
	}
}

// recreated: the topic is another one of that name now. Where nothing of the lane is in doubt, its records go to the new one. Else
// what is in doubt was meant for the former one: those partitions are parked, and the whole lane waits. It is decided when all that is
// on the wire is answered.
func (s *Sender) recreated(l *lane) {
	l.acc.Closed = true
	l.undecided = slices.ContainsFunc(l.parts, func(p *partition) bool { return p.OnWire() > 0 })
	if l.undecided {
		return
	}
	change := "the topic was " + l.remote.Bound.String() + " and is now " + l.remote.Current.String()
	if slices.ContainsFunc(l.parts, func(p *partition) bool { return p.MayBeInFormer() }) {
		for _, p := range l.parts {
			if p.Phase() != idempotence.Parked && p.MayBeInFormer() {
				p.ParkFor(s.env(p), spool.ParkTopicRecreated, change)
			}
		}
		return
	}
	s.event(TopicRecreated{Topic: l.topic, From: l.remote.Bound, To: l.remote.Current})
	s.audit("topic %s was created anew, with nothing in doubt: %s", l.topic, change)
	s.newIncarnation(l)
}
