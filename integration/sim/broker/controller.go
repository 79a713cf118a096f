package broker

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// noLeader stands for "none" (LeaderConstants.NO_LEADER).
const noLeader int32 = -1

// TopicConfig is what can be set on a topic.
type TopicConfig struct {
	MaxMessageBytes int   // max.message.bytes; 0: 1,048,588
	Compact         bool  // cleanup.policy=compact: every record needs a key
	Before, After   int64 // message.timestamp.before.max.ms, …after.max.ms; 0: no limit
	AppendTime      bool  // message.timestamp.type=LogAppendTime
	MinISR          int   // min.insync.replicas; 0: 1
	// Refuse, if not nil, is a policy of the broker's own: records that it names are refused with INVALID_RECORD.
	// Named: the answer says which.
	Refuse func(value []byte) bool
	Named  bool
}

// topic is one incarnation of a topic, as the controller knows it.
type topic struct {
	name    string
	id      protocol.TopicID
	config  TopicConfig
	parts   []*partition
	deleted bool
}

// partition is the controller's record of one partition (PartitionRegistration).
type partition struct {
	topic    *topic
	number   int32
	replicas []int32
	isr      []int32
	elr      []int32 // eligible leader replicas: out of the ISR since it fell below min.insync.replicas
	leader   int32
	// lastKnown led when the ISR became empty; -1: nobody. It is elected when nobody better is left.
	lastKnown int32
	epoch     int32 // leader epoch: rises when the leader changes
	version   int32 // partition epoch: rises with every change
}

// change is an entry of the metadata log. Brokers apply it in order, each in its own time.
type change struct {
	topic   *topic  // nil: the brokers
	brokers []int32 // that are not fenced
	number  int32   // -1: the topic as a whole (config, deletion)
	deleted bool
	config  TopicConfig
	state   partitionView
}

// partitionView is what a broker knows of a partition.
type partitionView struct {
	replicas []int32
	isr      []int32
	leader   int32
	epoch    int32
	version  int32
}

// CreateTopic makes a topic with so many partitions and replicas and returns its id.
func (c *Cluster) CreateTopic(name string, partitions, replicas int, config TopicConfig) protocol.TopicID {
	t := &topic{name: name, id: c.newID(), config: config}
	c.topics = append(c.topics, t)
	c.publish(append([]change{{topic: t, number: -1, config: config}}, c.grow(t, partitions, replicas)...)...)
	return t.id
}

// Grow gives a topic that many partitions.
func (c *Cluster) Grow(name string, partitions int) {
	if t := c.topic(name); t != nil && len(t.parts) < partitions {
		c.publish(c.grow(t, partitions, len(t.parts[0].replicas))...)
	}
}

// grow adds partitions and returns what is to be published of them, at once.
func (c *Cluster) grow(t *topic, partitions, replicas int) (all []change) {
	for len(t.parts) < partitions {
		p := &partition{topic: t, number: int32(len(t.parts)), leader: noLeader, lastKnown: noLeader, epoch: -1}
		first := c.rng.Int32N(c.cfg.Brokers)
		for k := int32(0); k < c.cfg.Brokers && !c.active(first); k++ { // StripedReplicaPlacer: who leads is not fenced
			first = (first + 1) % c.cfg.Brokers
		}
		for k := range int32(min(replicas, int(c.cfg.Brokers))) {
			p.replicas = append(p.replicas, (first+k)%c.cfg.Brokers)
		}
		for _, id := range p.replicas {
			if c.active(id) {
				p.isr = append(p.isr, id)
			}
		}
		if len(p.isr) == 0 { // Kafka would refuse: all are fenced
			p.isr, p.lastKnown = p.replicas[:1], first
		}
		t.parts = append(t.parts, p)
		c.decide(p, p.isr, noLeader)
		all = append(all, p.change())
	}
	return all
}

// Configure changes a topic's configuration.
func (c *Cluster) Configure(name string, edit func(*TopicConfig)) {
	if t := c.topic(name); t != nil {
		edit(&t.config)
		c.publish(change{topic: t, number: -1, config: t.config})
	}
}

// DeleteTopic deletes a topic.
func (c *Cluster) DeleteTopic(name string) {
	if t := c.topic(name); t != nil {
		t.deleted = true
		c.keepAll(t)
		c.publish(change{topic: t, number: -1, deleted: true})
	}
}

// topic is the present incarnation of a name, or nil.
func (c *Cluster) topic(name string) *topic {
	for _, t := range c.topics {
		if t.name == name && !t.deleted {
			return t
		}
	}
	return nil
}

// active reports whether the controller takes a broker for alive.
func (c *Cluster) active(id int32) bool { return c.nodes[id].registered && !c.nodes[id].withdrawn }

// publish appends to the metadata log, and has every broker learn of all of it at once, soon.
func (c *Cluster) publish(batch ...change) {
	c.changes = append(c.changes, batch...)
	upTo := len(c.changes)
	for _, n := range c.nodes {
		n.learnLater(upTo)
	}
}

// change is a new version of a partition's state.
func (p *partition) change() change {
	p.version++
	return change{topic: p.topic, number: p.number, state: partitionView{
		replicas: p.replicas, isr: slices.Clone(p.isr), leader: p.leader, epoch: p.epoch, version: p.version,
	}}
}

// decide gives a partition a new ISR, and what follows from it: eligible leader replicas (KIP-966) and a leader
// (PartitionChangeBuilder.build). unclean is a broker that is back without having ended in order, or nobody: it is not believed to have all it had.
// It reports whether anything changed, which is then to be published.
func (c *Cluster) decide(p *partition, isr []int32, unclean int32) bool {
	elr := []int32(nil)
	if !c.cfg.NoELR && len(isr) < p.minISR() {
		// Nothing is acked below the minimum: who was in the ISR when it fell there has all that was.
		elr = union(p.elr, p.isr)
		elr = slices.DeleteFunc(elr, func(id int32) bool { return id == unclean || slices.Contains(isr, id) })
	}
	leader := c.elect(p, isr, elr, unclean)
	switch {
	case leader >= 0 && !slices.Contains(isr, leader): // out of the ELR, or the last known one
		isr, elr = []int32{leader}, without(elr, leader)
	case len(isr) == 0 && c.cfg.NoELR: // the last one stays
		isr = p.isr
	}
	if leader == p.leader && slices.Equal(isr, p.isr) && slices.Equal(elr, p.elr) {
		return false
	}
	switch {
	case leader >= 0:
		p.lastKnown = noLeader
	case len(isr) == 0 && p.leader >= 0:
		p.lastKnown = p.leader
	}
	if leader != p.leader {
		p.leader = leader
		p.epoch++
	}
	p.isr, p.elr = isr, elr
	return true
}

// elect chooses a leader (PartitionChangeBuilder.electAnyLeader): the present one if it can be, or the first of the ISR, or of the ELR if the
// ISR is empty, or the last known one if both are.
func (c *Cluster) elect(p *partition, isr, elr []int32, unclean int32) int32 {
	able := func(id int32) bool {
		return c.active(id) && id != unclean && (slices.Contains(isr, id) || len(isr) == 0 && slices.Contains(elr, id))
	}
	if p.leader >= 0 && able(p.leader) {
		return p.leader
	}
	if i := slices.IndexFunc(p.replicas, able); i >= 0 {
		return p.replicas[i]
	}
	if last := p.lastKnown; len(isr) == 0 && len(elr) == 0 && last >= 0 && c.active(last) && last != unclean {
		return last
	}
	return noLeader
}

// leaves takes a broker out of ISRs and leaderships: it is fenced, or shuts down (handleBrokerFenced,
// handleBrokerInControlledShutdown).
func (c *Cluster) leaves(id int32) {
	c.each(func(p *partition) bool {
		return (slices.Contains(p.isr, id) || p.leader == id) && c.decide(p, without(p.isr, id), noLeader)
	})
}

// fence takes a broker for dead.
func (c *Cluster) fence(id int32) {
	c.logf("controller: broker %d is fenced", id)
	c.leaves(id)
}

// uncleanShutdown takes a broker that registers again out of every ISR and ELR (handleBrokerUncleanShutdown).
func (c *Cluster) uncleanShutdown(id int32) {
	if c.cfg.NoELR {
		return
	}
	c.each(func(p *partition) bool {
		return (slices.Contains(p.isr, id) || slices.Contains(p.elr, id)) && c.decide(p, without(p.isr, id), id)
	})
}

// unfence takes a broker back (handleBrokerUnfenced): what has no leader may have one again.
func (c *Cluster) unfence(id int32) {
	c.logf("controller: broker %d is back", id)
	c.each(func(p *partition) bool { return p.leader < 0 && c.decide(p, p.isr, noLeader) })
}

// each looks at all partitions, and publishes those that have changed and who is in the cluster, at once.
func (c *Cluster) each(changed func(*partition) bool) {
	all := []change{{brokers: c.unfenced()}}
	for _, t := range c.topics {
		for _, p := range t.parts {
			if !t.deleted && changed(p) {
				all = append(all, p.change())
			}
		}
	}
	c.publish(all...)
}

// unfenced are the brokers that metadata has.
func (c *Cluster) unfenced() (ids []int32) {
	for _, n := range c.nodes {
		if n.registered {
			ids = append(ids, n.id)
		}
	}
	return ids
}

func (p *partition) minISR() int { return min(max(p.topic.config.MinISR, 1), len(p.replicas)) }

// alterISR is AlterPartition: the leader of that epoch and version asks for another ISR.
func (c *Cluster) alterISR(leader int32, p *partition, epoch, version int32, isr []int32) bool {
	if p.topic.deleted || p.leader != leader || p.epoch != epoch || p.version != version {
		return false
	}
	for _, id := range isr {
		if !c.active(id) {
			return false
		}
	}
	c.logf("controller: %s-%d has ISR %v", p.topic.name, p.number, isr)
	if !c.decide(p, isr, noLeader) {
		return false
	}
	c.publish(p.change())
	return true
}

// Move makes another member of the ISR the leader, as a reassignment that puts it first and a preferred leader election do. It
// reports whether that could be.
func (c *Cluster) Move(name string, number int32, to int32) bool {
	t := c.topic(name)
	if t == nil || int(number) >= len(t.parts) {
		return false
	}
	p := t.parts[number]
	if p.leader == to || !slices.Contains(p.isr, to) || !c.active(to) {
		return false
	}
	p.replicas = append([]int32{to}, without(p.replicas, to)...)
	p.leader = to
	p.epoch++
	c.publish(p.change())
	return true
}

func without(list []int32, id int32) []int32 {
	return slices.DeleteFunc(slices.Clone(list), func(x int32) bool { return x == id })
}

func union(a, b []int32) []int32 {
	all := slices.Clone(a)
	for _, id := range b {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}
