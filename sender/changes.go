package sender

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// viewChanged carries out what the view of the cluster learnt.
func (s *Sender) viewChanged() {
	for _, c := range s.view.Changes() {
		switch c.Kind {
		case cluster.LinkChanged:
			s.event(LinkChanged{Up: c.Up, Err: c.Text})
		case cluster.ClusterBound:
			s.w.ClusterID, s.urgent = c.Text, true
		case cluster.ClusterForeign:
			s.stop = &ForeignClusterError{Bound: s.view.ID(), Found: c.Text}
		case cluster.MetadataTaken:
			s.epoch++
		case cluster.ExpirationRead:
			// Never wider than five sixths of the cluster's setting (20 of 24 hours).
			s.cfg.MarginMs = min(s.cfg.MarginMs, max(c.Ms/6*5, 1))
		default:
			s.topicChanged(s.lanes[c.Topic.Number], &c)
		}
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
			s.block(p, true)
		}
	case cluster.TopicReturned:
		l.acc.Closed = !c.Up // if it was the same topic after all, records for partitions that are not parked go on
	case cluster.TopicBound:
		l.acc.TopicID = l.remote.Bound
		s.w.Bindings = append(s.w.Bindings, spool.LaneBinding{Lane: l.id, TopicID: l.remote.Bound})
		s.urgent = true
	case cluster.TopicRecreated:
		s.recreated(l)
	case cluster.TopicUpdated:
		l.acc.SetPartitions(l.remote.Count)
		for n := range l.remote.Count {
			p := s.partition(l, n)
			p.q = l.acc.Partition(n)
		}
	case cluster.LeaderChanged:
		s.leaderChanged(s.partition(l, c.Partition), c.Up)
	}
}

// leaderChanged: p has another leader, or its leader a new epoch.
func (s *Sender) leaderChanged(p *partition, epoch bool) {
	leader, _ := p.leader()
	if epoch && p.ids.Identity.Valid() {
		s.mark(p) // a start must not believe an older epoch either
	}
	if leader >= 0 {
		p.retryAt = min(p.retryAt, s.now.Age) // the back-off is skipped (KIP-951)
	}
	s.epoch++
	if !p.q.Empty() || len(p.window) > 0 {
		s.activate(p)
	}
	if p.phase != parked && !p.lane.remote.Recreated {
		s.block(p, leader < 0)
	}
}

// recreated parks the whole lane: its records were meant for another topic of that name.
func (s *Sender) recreated(l *lane) {
	l.acc.Closed = true
	for k := int32(len(l.parts)); k < max(l.remote.Count, 1); k++ {
		s.partition(l, k)
	}
	for _, p := range l.parts {
		if p.phase != parked {
			s.parkPartition(p, spool.ParkTopicRecreated, "the topic was "+l.remote.Bound.String()+" and is now "+l.remote.Current.String())
		}
	}
}

// leader is the broker that leads p, or -1, and its leader epoch.
func (p *partition) leader() (broker, epoch int32) { return p.lane.remote.Leader(p.id) }

// way is how p's leader is reached. If it is not, p is blocked and what is missing was asked for.
func (s *Sender) way(p *partition) (cluster.Way, bool) {
	w, o, ok := s.view.Way(p.lane.remote, p.id)
	if ok {
		return w, true
	}
	if o.Why != "" {
		p.detail = o.Why
	}
	if o.Hold != cluster.Unchanged {
		s.block(p, o.Hold == cluster.PassedBy)
	}
	return w, false
}

// confirmed reports whether p may be parked for what its leader says. If not, the leader is asked again later.
func (s *Sender) confirmed(p *partition) bool {
	verdict, generation := s.view.Confirm(p.lane.remote, p.id, &p.check)
	if verdict == cluster.Confirmed {
		return true
	}
	p.resolver = s.newResolver(p) // without what the leader said
	if verdict == cluster.Later {
		s.trouble(p, "another broker is looked for, to ask who leads")
		return false
	}
	p.needMeta = generation
	p.detail = "another broker is asked who leads"
	return false
}

// slow makes p wait longer where only an operator can help, and says so.
func (s *Sender) slow(p *partition, class protocol.Class) {
	if class != protocol.Authorization && class != protocol.Fatal && class != protocol.Misfit {
		return
	}
	inf := p.window[0]
	p.retryAt = s.now.Age + max(s.cfg.RetryBackoffMaxMs, 5000)
	s.wake(p.retryAt)
	if p.lane.remote.ReportOnce(inf.code) {
		s.event(TopicTrouble{Topic: p.lane.topic, Code: inf.code, Message: p.detail})
	}
}
