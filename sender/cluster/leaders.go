package cluster

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
)

// partition is what is known of one partition of a topic.
type partition struct {
	leader int32 // broker id, or -1
	epoch  int32 // the highest leader epoch that is known
	older  bool  // what metadata said last is of an older epoch
	way    Way
}

// Way is a leader, its epoch and the connection to it. Number is another one whenever any of these is; the zero
// value is no way.
type Way struct {
	Broker     int32
	epoch      int32
	connection uint64
	Number     uint64
}

// Hold says what becomes of records for a partition that there is no way to.
type Hold uint8

// What becomes of them.
const (
	Unchanged Hold = iota // as before
	PassedBy              // others may have the memory that they take
	Gathered              // into batches, which leave as soon as there is a way
)

// Obstacle is why there is no way to a partition for now.
type Obstacle struct {
	Why  string // for people; "": nothing new
	Hold Hold
}

func (t *Topic) partition(n int32) *partition {
	for int32(len(t.partitions)) <= n {
		t.partitions = append(t.partitions, partition{leader: -1})
	}
	return &t.partitions[n]
}

// Leader is the broker that leads partition n of the topic, or -1, and the highest leader epoch that is known.
func (t *Topic) Leader(n int32) (broker, epoch int32) {
	if int(n) >= len(t.partitions) {
		return -1, 0
	}
	p := &t.partitions[n]
	return p.leader, p.epoch
}

// RestoreEpoch sets the leader epoch of a partition that an earlier process knew.
func (t *Topic) RestoreEpoch(n, epoch int32) { t.partition(n).epoch = epoch }

// Leads takes news of a partition's leader from the answer of a broker (KIP-951), if it is newer, and reports whether it was.
func (v *View) Leads(t *Topic, n, leader, epoch int32) bool {
	if _, known := t.Leader(n); leader < 0 || epoch <= known || v.Broker(leader) == nil {
		return false
	}
	v.leads(t, n, leader, epoch)
	return true
}

// leads takes news of a partition's leader. What is of an older epoch is ignored: a broker that is behind may
// answer late.
func (v *View) leads(t *Topic, n, leader, epoch int32) {
	p := t.partition(n)
	if p.older = epoch >= 0 && epoch < p.epoch; p.older {
		return
	}
	if p.leader == leader && p.epoch == epoch {
		return
	}
	c := Change{Kind: LeaderChanged, Topic: t, Partition: n, Up: epoch != p.epoch}
	p.leader, p.epoch = leader, epoch
	v.change(c)
}

// Way is how partition n of t is reached now. If there is no way, ok is false, and what is missing was asked for.
func (v *View) Way(t *Topic, n int32) (w Way, o Obstacle, ok bool) {
	p := t.partition(n)
	leader := p.leader
	if v.foreign != "" {
		return Way{}, Obstacle{Why: v.link.Err, Hold: Gathered}, false
	}
	if t.Recreated || t.Uncertain() || t.Code != protocol.None && leader < 0 {
		return Way{}, Obstacle{Hold: PassedBy}, false
	}
	if leader < 0 {
		o := Obstacle{Why: "no leader", Hold: PassedBy}
		if p.older {
			o.Why = fmt.Sprintf("no leader: the broker that was asked has only older ones than that of leader epoch %d", p.epoch)
		}
		if v.meta.gen > 0 {
			v.meta.want = true // Update asks, when it may
		}
		return Way{}, o, false
	}
	b := v.Broker(leader)
	if b == nil {
		v.meta.want = true
		return Way{}, Obstacle{}, false
	}
	if !b.Up {
		o := Obstacle{Why: b.err, Hold: Gathered}
		if v.link.Up && b.attempts > 0 { // with no cluster at all there are no others to make room for
			o.Hold = PassedBy
		}
		v.Connect(b)
		return Way{}, o, false
	}
	if w := &p.way; w.Number == 0 || w.Broker != b.ID || w.epoch != p.epoch || w.connection != b.connection {
		*w = Way{Broker: b.ID, epoch: p.epoch, connection: b.connection, Number: w.Number + 1}
	}
	return p.way, Obstacle{}, true
}

// Usable reports whether w still is the way to partition n of t.
func (v *View) Usable(t *Topic, n int32, w Way) bool {
	b := v.Broker(w.Broker)
	leader, _ := t.Leader(n)
	return v.foreign == "" && b != nil && b.Up && b.connection == w.connection && leader == w.Broker
}
