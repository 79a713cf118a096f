package broker

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// ReplicaState is what a broker has of a partition, for tests of the replication.
type ReplicaState struct {
	Broker          int32
	Leads           bool // it takes itself for the leader
	Epoch           int32
	Start, HW, End  int64
	ISR             []int32
	Batches         []BatchState
	Alive, Believed bool // Believed: the controller has it lead
}

// BatchState is a batch in a log.
type BatchState struct {
	Offset, End int64
	Epoch       int32
	PID         int64
	Base        int32
}

// ReplicasOf are all replicas of a partition, those of dead brokers included.
func (c *Cluster) ReplicasOf(name string, number int32) []ReplicaState {
	t := c.controller.topic(name)
	var out []ReplicaState
	for _, n := range c.nodes {
		r := n.replicas[replicaKey{t.id, number}]
		if r == nil {
			continue
		}
		s := ReplicaState{Broker: n.id, Leads: r.leads(), Epoch: r.epoch, Start: r.start, HW: r.hw, End: r.end(), ISR: slices.Clone(r.isr),
			Alive: n.alive, Believed: t.parts[number].leader == n.id && t.parts[number].epoch == r.epoch}
		for _, e := range append(slices.Clone(r.deleted), r.log...) {
			s.Batches = append(s.Batches, BatchState{e.offset, e.end(), e.epoch, e.pid, e.base})
		}
		out = append(out, s)
	}
	return out
}

// Epoch is the leader epoch, as the controller has it.
func (c *Cluster) Epoch(name string, number int32) int32 {
	return c.controller.topic(name).parts[number].epoch
}

// EligibleLeaders are a partition's ELR.
func (c *Cluster) EligibleLeaders(name string, number int32) []int32 {
	return slices.Clone(c.controller.topic(name).parts[number].elr)
}

// IsIdle reports whether a connection has nothing to serve.
func (k *Conn) IsIdle() bool { return !k.busy && len(k.queue) == 0 }

// DamageSnapshot spoils the newest file of a broker's state of producers.
func (c *Cluster) DamageSnapshot(broker int32, topic string) {
	r := c.nodes[broker].replicas[replicaKey{c.controller.topic(topic).id, 0}]
	r.snapshots[len(r.snapshots)-1].damaged = true
}

// WriteMarker is WriteTxnMarkers to a broker for partition 0, by a coordinator of an epoch.
func (c *Cluster) WriteMarker(broker int32, topic string, pid int64, epoch int16, reign int32, v2 bool, reply func(protocol.ErrorCode)) {
	t := coordinated{txn: txn{pid: pid, epoch: epoch, state: prepareCommit, bumped: v2}}
	transactional{c.nodes[broker]}.writeMarker(txnPart{topic, 0}, t.marker(reign, c.now()), reply)
}
