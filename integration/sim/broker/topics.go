package broker

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// TopicConfig is what can be set on a topic.
type TopicConfig struct {
	MaxMessageBytes int   // max.message.bytes; 0: 1,048,588
	Compact         bool  // cleanup.policy=compact: every record needs a key
	Before, After   int64 // message.timestamp.before.max.ms, …after.max.ms; 0: no limit
	Worded          bool  // a refusal for these says in the words of Apache Kafka what is taken
	AppendTime      bool  // message.timestamp.type=LogAppendTime
	MinISR          int   // min.insync.replicas; 0: 1
	// Refuse, if not nil, is a policy of the broker's own: records that it names are refused with INVALID_RECORD.
	// Named: the answer says which.
	Refuse func(value []byte) bool
	Named  bool
}

// CreateTopic makes a topic with so many partitions and replicas and returns its id.
func (c *Cluster) CreateTopic(name string, partitions, replicas int, config TopicConfig) protocol.TopicID {
	t := &topic{name: name, id: c.controller.newID(), config: config}
	c.controller.topics = append(c.controller.topics, t)
	c.controller.publish(append([]change{{topic: t, number: -1, config: config}}, c.controller.grow(t, partitions, replicas)...)...)
	return t.id
}

// Grow gives a topic that many partitions.
func (c *Cluster) Grow(name string, partitions int) {
	if t := c.controller.topic(name); t != nil && len(t.parts) < partitions {
		c.controller.publish(c.controller.grow(t, partitions, len(t.parts[0].replicas))...)
	}
}

// Configure changes a topic's configuration.
func (c *Cluster) Configure(name string, edit func(*TopicConfig)) {
	if t := c.controller.topic(name); t != nil {
		edit(&t.config)
		c.controller.publish(change{topic: t, number: -1, config: t.config})
	}
}

// DeleteTopic deletes a topic.
func (c *Cluster) DeleteTopic(name string) {
	if t := c.controller.topic(name); t != nil {
		t.deleted = true
		c.archive.keepAll(t, c.nodes)
		c.controller.publish(change{topic: t, number: -1, deleted: true})
	}
}

// Move makes another member of the ISR the leader, as a reassignment that puts it first and a preferred leader election do. It
// reports whether that could be.
func (c *Cluster) Move(name string, number int32, to int32) bool {
	t := c.controller.topic(name)
	if t == nil || int(number) >= len(t.parts) {
		return false
	}
	p := t.parts[number]
	if p.leader == to || !slices.Contains(p.isr, to) || !c.controller.active(to) {
		return false
	}
	p.replicas = append([]int32{to}, without(p.replicas, to)...)
	p.leader = to
	p.epoch++
	c.controller.publish(p.change())
	return true
}

// Lose has all replicas of a partition end at an offset, as after an unclean election of one that had no more: what was acked
// above is gone, and of producers they know what the rest of the log says.
func Lose(c *Cluster, name string, number int32, end int64) {
	key := replicaKey{c.controller.topic(name).id, number}
	for _, n := range c.nodes {
		if r := n.replicas[key]; r != nil {
			r.cut(end)
		}
	}
}
