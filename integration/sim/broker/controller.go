package broker

import (
	"encoding/binary"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// noLeader stands for "none" (LeaderConstants.NO_LEADER).
const noLeader int32 = -1

// controller is what decides on topics and on who leads partitions. Its decisions are the metadata log, which each broker applies in its own
// time.
type controller struct {
	c       *Cluster
	topics  []*topic // deleted ones included
	changes []change // the metadata log
}

// topic is one incarnation of a topic, as the controller has it.
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

// partitionView is what a broker has of a partition.
type partitionView struct {
	replicas []int32
	isr      []int32
	leader   int32
	epoch    int32
	version  int32
}

// newID is a topic id that was never given.
func (d *controller) newID() (id protocol.TopicID) {
	binary.BigEndian.PutUint64(id[:], d.c.rng.Uint64()|1)
	binary.BigEndian.PutUint64(id[8:], uint64(len(d.topics)+1))
	return id
}

// grow adds partitions and returns what is to be published of them, at once.
func (d *controller) grow(t *topic, partitions, replicas int) (all []change) {
	for len(t.parts) < partitions {
		p := &partition{topic: t, number: int32(len(t.parts)), leader: noLeader, lastKnown: noLeader, epoch: -1}
		first := d.c.rng.Int32N(d.c.cfg.Brokers)
		for k := int32(0); k < d.c.cfg.Brokers && !d.active(first); k++ { // StripedReplicaPlacer: who leads is not fenced
			first = (first + 1) % d.c.cfg.Brokers
		}
		for k := range int32(min(replicas, int(d.c.cfg.Brokers))) {
			p.replicas = append(p.replicas, (first+k)%d.c.cfg.Brokers)
		}
		for _, id := range p.replicas {
			if d.active(id) {
				p.isr = append(p.isr, id)
			}
		}
		if len(p.isr) == 0 { // Kafka would refuse: all are fenced
			p.isr, p.lastKnown = p.replicas[:1], first
		}
		t.parts = append(t.parts, p)
		d.decide(p, p.isr, noLeader)
		all = append(all, p.change())
	}
	return all
}

// topic is the present incarnation of a name, or nil.
func (d *controller) topic(name string) *topic {
	for _, t := range d.topics {
		if t.name == name && !t.deleted {
			return t
		}
	}
	return nil
}

// active reports whether the controller takes a broker for alive.
func (d *controller) active(id int32) bool {
	return d.c.nodes[id].registered && !d.c.nodes[id].withdrawn
}

// publish appends to the metadata log, and has every broker learn of all of it at once, soon.
func (d *controller) publish(batch ...change) {
	d.changes = append(d.changes, batch...)
	upTo := len(d.changes)
	for _, n := range d.c.nodes {
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
func (d *controller) decide(p *partition, isr []int32, unclean int32) bool {
	elr := []int32(nil)
	if !d.c.cfg.NoELR && len(isr) < p.minISR() {
		// Nothing is acked below the minimum: who was in the ISR when it fell there has all that was.
		elr = union(p.elr, p.isr)
		elr = slices.DeleteFunc(elr, func(id int32) bool { return id == unclean || slices.Contains(isr, id) })
	}
	leader := d.elect(p, isr, elr, unclean)
	switch {
	case leader >= 0 && !slices.Contains(isr, leader): // out of the ELR, or the last known one
		isr, elr = []int32{leader}, without(elr, leader)
	case len(isr) == 0 && d.c.cfg.NoELR: // the last one stays
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
func (d *controller) elect(p *partition, isr, elr []int32, unclean int32) int32 {
	able := func(id int32) bool {
		return d.active(id) && id != unclean && (slices.Contains(isr, id) || len(isr) == 0 && slices.Contains(elr, id))
	}
	if p.leader >= 0 && able(p.leader) {
		return p.leader
	}
	if i := slices.IndexFunc(p.replicas, able); i >= 0 {
		return p.replicas[i]
	}
	if last := p.lastKnown; len(isr) == 0 && len(elr) == 0 && last >= 0 && d.active(last) && last != unclean {
		return last
	}
	return noLeader
}

// leaves takes a broker out of ISRs and leaderships: it is fenced, or shuts down (handleBrokerFenced,
// handleBrokerInControlledShutdown).
func (d *controller) leaves(id int32) {
	d.each(func(p *partition) bool {
		return (slices.Contains(p.isr, id) || p.leader == id) && d.decide(p, without(p.isr, id), noLeader)
	})
}

// expireSession notices in time that a broker sends nothing.
func (d *controller) expireSession(n *node) { d.expireSessionIn(n, d.c.cfg.Session) }

func (d *controller) expireSessionIn(n *node, ms int64) {
	life := n.life
	d.c.agenda.After(ms, func() {
		if n.life == life && n.registered && (!n.alive || n.starting || n.paused || n.cutOff) {
			n.registered = false
			d.fence(n.id)
			if n.starting {
				n.after(d.c.within(d.c.cfg.Learn), n.join)
			}
		}
	})
}

// fence takes a broker for dead.
func (d *controller) fence(id int32) {
	d.c.logf("controller: broker %d is fenced", id)
	d.leaves(id)
}

// uncleanShutdown takes a broker that registers again out of every ISR and ELR (handleBrokerUncleanShutdown).
func (d *controller) uncleanShutdown(id int32) {
	if d.c.cfg.NoELR {
		return
	}
	d.each(func(p *partition) bool {
		return (slices.Contains(p.isr, id) || slices.Contains(p.elr, id)) && d.decide(p, without(p.isr, id), id)
	})
}

// unfence takes a broker back (handleBrokerUnfenced): what has no leader may have one again.
func (d *controller) unfence(id int32) {
	d.c.logf("controller: broker %d is back", id)
	d.each(func(p *partition) bool { return p.leader < 0 && d.decide(p, p.isr, noLeader) })
}

// each looks at all partitions, and publishes those that have changed and who is in the cluster, at once.
func (d *controller) each(changed func(*partition) bool) {
	all := []change{{brokers: d.unfenced()}}
	for _, t := range d.topics {
		for _, p := range t.parts {
			if !t.deleted && changed(p) {
				all = append(all, p.change())
			}
		}
	}
	d.publish(all...)
}

// unfenced are the brokers that metadata has.
func (d *controller) unfenced() (ids []int32) {
	for _, n := range d.c.nodes {
		if n.registered {
			ids = append(ids, n.id)
		}
	}
	return ids
}

func (p *partition) minISR() int { return min(max(p.topic.config.MinISR, 1), len(p.replicas)) }

// alterISR is AlterPartition: the leader of that epoch and version asks for another ISR.
func (d *controller) alterISR(leader int32, p *partition, epoch, version int32, isr []int32) bool {
	if p.topic.deleted || p.leader != leader || p.epoch != epoch || p.version != version {
		return false
	}
	for _, id := range isr {
		if !d.active(id) {
			return false
		}
	}
	d.c.logf("controller: %s-%d has ISR %v", p.topic.name, p.number, isr)
	if !d.decide(p, isr, noLeader) {
		return false
	}
	d.publish(p.change())
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
