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
	epoch    int32 // leader epoch: rises when the leader changes
	version  int32 // partition epoch: rises with every change
}

// change is an entry of the metadata log. Brokers apply it in order, each in its own time.
type change struct {
	topic   *topic
	number  int32 // -1: the topic as a whole (config, deletion)
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
		p := &partition{topic: t, number: int32(len(t.parts)), leader: noLeader, epoch: -1}
		first := c.rng.Int32N(c.cfg.Brokers)
		for k := range int32(min(replicas, int(c.cfg.Brokers))) {
			p.replicas = append(p.replicas, (first+k)%c.cfg.Brokers)
		}
		for _, id := range p.replicas {
			if c.active(id) {
				p.isr = append(p.isr, id)
			}
		}
		if len(p.isr) == 0 {
			p.isr = p.replicas[:1]
		}
		t.parts = append(t.parts, p)
		c.elect(p)
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
func (c *Cluster) active(id int32) bool { return c.nodes[id].registered && !c.nodes[id].leaving }

// publish appends to the metadata log, and has every broker learn of all of it at once, soon.
func (c *Cluster) publish(batch ...change) {
	c.changes = append(c.changes, batch...)
	upTo := len(c.changes)
	for _, n := range c.nodes {
		n.learnLater(upTo)
	}
}

// changed publishes a partition's state.
func (c *Cluster) changed(p *partition) { c.publish(p.change()) }

// change is a new version of a partition's state.
func (p *partition) change() change {
	p.version++
	return change{topic: p.topic, number: p.number, state: partitionView{
		replicas: p.replicas, isr: slices.Clone(p.isr), leader: p.leader, epoch: p.epoch, version: p.version,
	}}
}

// elect chooses a leader if the present one cannot be it (PartitionChangeBuilder.electAnyLeader), and
// reports whether anything changed.
func (c *Cluster) elect(p *partition) bool {
	able := func(id int32) bool {
		return c.active(id) && (slices.Contains(p.isr, id) || len(p.isr) == 0 && slices.Contains(p.elr, id))
	}
	if p.leader >= 0 && able(p.leader) {
		return false
	}
	next := noLeader
	for _, id := range p.replicas {
		if able(id) {
			next = id
			break
		}
	}
	if next == p.leader {
		return false
	}
	if next >= 0 && !slices.Contains(p.isr, next) { // out of the ELR
		p.isr, p.elr = []int32{next}, without(p.elr, next)
	}
	p.leader = next
	p.epoch++
	return true
}

// fence takes a broker for dead: it leaves every ISR and leads nothing (handleBrokerFenced).
func (c *Cluster) fence(id int32) {
	c.logf("controller: broker %d is fenced", id)
	c.leaves(id)
	c.publish(change{number: -1}) // brokers' lists change
}

// leaves takes a broker out of ISRs and leaderships.
func (c *Cluster) leaves(id int32) {
	for _, t := range c.topics {
		for _, p := range t.parts {
			if t.deleted || !slices.Contains(p.isr, id) && p.leader != id {
				continue
			}
			shrunk := c.shrink(p, id)
			if c.elect(p) || shrunk {
				c.changed(p)
			}
		}
	}
}

// shrink takes a broker out of p's ISR. Without eligible leader replicas the last one stays; with them it goes
// where it can be found again, if the ISR is below the minimum: nothing is acked then, so it has all that was.
func (c *Cluster) shrink(p *partition, id int32) bool {
	if !slices.Contains(p.isr, id) {
		return false
	}
	rest := without(p.isr, id)
	if c.cfg.NoELR {
		if len(rest) == 0 {
			return false
		}
		p.isr = rest
		return true
	}
	if len(rest) < p.minISR() {
		p.elr = append(without(p.elr, id), id)
	} else {
		p.elr = nil
	}
	p.isr = rest
	return true
}

func (p *partition) minISR() int { return min(max(p.topic.config.MinISR, 1), len(p.replicas)) }

// unfence takes a broker back (handleBrokerUnfenced): what has no leader may have one again.
func (c *Cluster) unfence(id int32, unclean bool) {
	c.logf("controller: broker %d is back", id)
	for _, t := range c.topics {
		for _, p := range t.parts {
			if t.deleted {
				continue
			}
			dropped := false
			// A broker that was not shut down in order is not believed to have all it had; but the last one
			// that is known is (KIP-966, last known leader): there is no other.
			if unclean && slices.Contains(p.elr, id) && len(p.isr)+len(p.elr) > 1 {
				p.elr, dropped = without(p.elr, id), true
			}
			if c.elect(p) || dropped {
				c.changed(p)
			}
		}
	}
	c.publish(change{number: -1})
}

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
	for _, id := range p.isr {
		if !slices.Contains(isr, id) && len(isr) < p.minISR() && !c.cfg.NoELR {
			p.elr = append(without(p.elr, id), id)
		}
	}
	p.isr = isr
	for _, id := range isr {
		p.elr = without(p.elr, id)
	}
	if len(isr) >= p.minISR() {
		p.elr = nil
	}
	c.logf("controller: %s-%d has ISR %v", p.topic.name, p.number, isr)
	c.changed(p)
	return true
}

// Move makes another member of the ISR the leader, as a preferred leader election does. It reports whether
// that could be.
func (c *Cluster) Move(name string, number int32, to int32) bool {
	t := c.topic(name)
	if t == nil || int(number) >= len(t.parts) {
		return false
	}
	p := t.parts[number]
	if p.leader == to || !slices.Contains(p.isr, to) || !c.active(to) {
		return false
	}
	p.leader = to
	p.epoch++
	c.changed(p)
	return true
}

func without(list []int32, id int32) []int32 {
	return slices.DeleteFunc(slices.Clone(list), func(x int32) bool { return x == id })
}
