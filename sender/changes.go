package sender

import (
	"slices"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// changes carries out what changed in the view of the cluster, for what waits to be sent.
type changes struct {
	parts
	feeds *feeds
}

// apply carries out what changed in the view of the cluster.
func (ch *changes) apply() {
	for _, c := range ch.view.Changes() {
		switch c.Kind {
		case cluster.LinkChanged:
			ch.event(LinkChanged{Up: c.Up, Err: c.Text})
		case cluster.ClusterBound:
			ch.e.Write.ClusterID, ch.e.Urgent = c.Text, true
		case cluster.ClusterForeign:
			ch.foreign(&ForeignClusterError{Bound: ch.view.ID(), Found: c.Text})
		case cluster.MetadataTaken:
			ch.acc.WakeLanes()
		case cluster.ExpirationRead:
			// Never wider than five sixths of the cluster's setting (20 of 24 hours).
			ch.e.MarginMs = min(ch.e.MarginMs, max(c.Ms/6*5, 1))
		default:
			ch.topicChanged(ch.lanes[c.Topic.Number], &c)
		}
	}
}

// foreign: the brokers are of another cluster. That is an outage, which the view reports, unless a start is to end for it.
func (ch *changes) foreign(err *ForeignClusterError) {
	if ch.cfg.CheckCluster && ch.view.Generation() == 0 {
		ch.stop = err
	}
}

// topicChanged takes one change of a topic.
func (ch *changes) topicChanged(l *lane, c *cluster.Change) {
	switch c.Kind {
	case cluster.TopicFailed:
		if c.Text != "" {
			ch.event(TopicTrouble{Topic: l.topic, Code: c.Code, Message: c.Text})
		}
		for _, p := range l.parts {
			p.Block(&ch.e, true)
		}
	case cluster.SizeRead:
		l.acc.Configured(c.Bytes)
	case cluster.TopicReturned:
		l.undecided = l.undecided && !c.Up
		l.acc.Closed = !c.Up // if it was the same topic after all, records for partitions that are not parked go on
		ch.feeds.wantFeed(l)
	case cluster.TopicBound:
		ch.e.Write.Bindings = append(ch.e.Write.Bindings, spool.LaneBinding{Lane: l.id, TopicID: l.remote.Bound})
		ch.e.Urgent = true
	case cluster.TopicRecreated:
		ch.recreated(l)
	case cluster.TopicUpdated:
		l.acc.SetPartitions(l.remote.Count)
		ch.counted(l)
		for n := range l.remote.Count {
			ch.partition(l, n)
		}
		ch.askAgain(l)
		ch.feeds.wantFeed(l)
	case cluster.LeaderChanged:
		ch.leaderChanged(ch.partition(l, c.Partition), c.Up)
	}
}

// counted reports how many partitions the topic has, if that is news.
func (ch *changes) counted(l *lane) {
	if n := l.acc.Partitions(); n != l.counted {
		l.counted = n
		ch.event(PartitionsCounted{Topic: l.topic, Count: n})
	}
}

// askAgain has leaders that this principal may not ask about producers asked once more, now and then.
func (ch *changes) askAgain(l *lane) {
	if !l.unread() {
		l.unreadSince = ch.now.Age
		return
	}
	if ch.now.Age-l.unreadSince < ch.cfg.MetadataMaxAgeMs {
		return
	}
	l.unreadSince = ch.now.Age
	for _, p := range l.parts {
		p.TryAsking()
		ch.touch(p)
	}
}

// leaderChanged: p has another leader, or its leader a new epoch.
func (ch *changes) leaderChanged(p *partition, epoch bool) {
	leader, _ := p.leader()
	p.LeaderChanged(ch.env(p), leader >= 0, epoch)
	ch.touch(p)
	if !p.Queue.Empty() || p.InFlight() > 0 {
		ch.activate(p)
	}
	if p.Phase() != idempotence.Parked && !p.lane.remote.Recreated {
		p.Block(&ch.e, leader < 0)
	}
}

// recreated: the topic is another one of that name now. Where nothing of the lane is in doubt, its records go to the new one. Else
// what is in doubt was meant for the former one: those partitions are parked, and the whole lane waits. It is decided when all that is
// on the wire is answered.
func (ch *changes) recreated(l *lane) {
	l.acc.Closed = true
	l.undecided = slices.ContainsFunc(l.parts, func(p *partition) bool { return p.OnWire() > 0 })
	if l.undecided {
		return
	}
	change := "the topic was " + l.remote.Bound.String() + " and is now " + l.remote.Current.String()
	if slices.ContainsFunc(l.parts, func(p *partition) bool { return p.MayBeInFormer() }) {
		for _, p := range l.parts {
			if p.Phase() != idempotence.Parked && p.MayBeInFormer() {
				p.ParkFor(ch.env(p), spool.ParkTopicRecreated, change)
			}
		}
		return
	}
	ch.event(TopicRecreated{Topic: l.topic, From: l.remote.Bound, To: l.remote.Current})
	ch.audit("topic %s was created anew, with nothing in doubt: %s", l.topic, change)
	ch.newIncarnation(l)
}

// newIncarnation binds a lane whose topic was recreated to the new one, once all its
// partitions are resolved: facts, offsets and sequences begin anew.
func (ch *changes) newIncarnation(l *lane) {
	for _, p := range l.parts {
		if p.Phase() != idempotence.Parked && p.MayBeInFormer() {
			p.ParkFor(ch.env(p), spool.ParkTopicRecreated, "the topic was created anew")
		}
	}
	for _, p := range l.parts {
		if p.Phase() == idempotence.Parked {
			return
		}
	}
	ch.view.Rebind(l.remote)
	ch.all = true
	l.acc.Closed = false
	for _, p := range l.parts {
		if p.Seals() > 0 || p.Phase() != idempotence.Unknown { // it had nothing in doubt when others were parked
			p.BeginAnew(ch.env(p))
			p.check, p.needMeta = cluster.LeaderCheck{}, 0
		}
		p.Rebind(ch.env(p))
	}
	l.acc.ResetFacts(ch.acc, l.remote.Count) // it may have fewer partitions than the former one
	ch.counted(l)
	for _, p := range l.parts {
		p.Queue = l.acc.Partition(p.ID)
	}
	ch.feeds.cancelFeed(l)
	l.stalled = 0
	ch.feeds.wantFeed(l)
	ch.e.Write.Bindings = append(ch.e.Write.Bindings, spool.LaneBinding{Lane: l.id, TopicID: l.remote.Bound, ResetFacts: true})
	ch.e.Urgent = true
}
