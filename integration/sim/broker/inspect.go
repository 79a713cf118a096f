package broker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
)

// Record and Header are what batches are made of.
type (
	Record = raw.Record
	Header = raw.Header
)

// Logged is a batch as a log holds it, for those who check.
type Logged struct {
	Offset   int64
	Epoch    int32 // leader epoch
	Identity protocol.ProducerIdentity
	Base     protocol.Sequence
	Count    int32
	Records  []Record
	Trimmed  bool  // below the log start by now
	Control  bool  // it is a marker
	Aborted  bool  // its transaction was aborted
	Open     bool  // its transaction has not ended here
	Unread   bool  // it went below the log start before its transaction had ended: no reader of committed records has seen it
	Serial   int64 // number of its transaction; 0: none
}

// Log is what the leader of a partition has of an incarnation of a topic below its high watermark, with what retention
// has taken since. ok is false while there is no leader.
func (c *Cluster) Log(id protocol.TopicID, number int32) (list []Logged, ok bool) {
	r := c.leader(id, number)
	if r == nil {
		all := sorted(slices.Clone(c.archive[replicaKey{id, number}]))
		for i := range all {
			list = append(list, logged(&all[i]))
			list[i].Trimmed = true
		}
		ended(all, list)
		return list, c.deleted(id)
	}
	all := c.archive.whole(r)
	list = make([]Logged, 0, len(all))
	for i := range all {
		if e := &all[i]; e.end() <= r.hw {
			list = append(list, logged(e))
			list[len(list)-1].Trimmed = e.end() <= r.start
		}
	}
	ended(all[:len(list)], list)
	return list, true
}

func (c *Cluster) deleted(id protocol.TopicID) bool {
	return slices.ContainsFunc(c.controller.topics, func(t *topic) bool { return t.id == id && t.deleted })
}

func logged(e *entry) Logged {
	l := Logged{Offset: e.offset, Epoch: e.epoch, Identity: protocol.ProducerIdentity{ID: protocol.ProducerID(e.pid), Epoch: protocol.ProducerEpoch(e.pepoch)},
		Base: protocol.Sequence(e.base), Count: int32(e.count)}
	l.Control, l.Serial, l.Unread = e.marker != noMarker, e.serial, e.unread
	if l.Control {
		return l
	}
	l.Records = make([]Record, 0, e.count)
	e.raw.Records(func(_ int, r Record) { l.Records = append(l.Records, r) })
	return l
}

// leader is the replica that the controller has lead, if it does.
func (c *Cluster) leader(id protocol.TopicID, number int32) *replica {
	for _, t := range c.controller.topics {
		if t.id != id || int(number) >= len(t.parts) {
			continue
		}
		if l := t.parts[number].leader; l >= 0 {
			if r := c.nodes[l].replicas[replicaKey{id, number}]; r != nil && r.leads() {
				return r
			}
		}
	}
	return nil
}

// Incarnation is one topic that ever was.
type Incarnation struct {
	Name       string
	ID         protocol.TopicID
	Partitions int32
	Deleted    bool
}

// Topics are all incarnations, in the order of their making.
func (c *Cluster) Topics() []Incarnation {
	var out []Incarnation
	for _, t := range c.controller.topics {
		if internal(t.name) {
			continue
		}
		out = append(out, Incarnation{t.name, t.id, int32(len(t.parts)), t.deleted})
	}
	return out
}

// Exists reports whether there is a topic of that name.
func (c *Cluster) Exists(name string) bool { return c.controller.topic(name) != nil }

// Leader is who leads a partition, by the controller; -1: nobody.
func (c *Cluster) Leader(name string, number int32) int32 {
	if t := c.controller.topic(name); t != nil && int(number) < len(t.parts) {
		return t.parts[number].leader
	}
	return noLeader
}

// Assignment is a partition's replicas, preferred leader first, and those that are in sync, as the controller has it.
func (c *Cluster) Assignment(name string, number int32) (replicas, isr []int32) {
	if t := c.controller.topic(name); t != nil && int(number) < len(t.parts) {
		return slices.Clone(t.parts[number].replicas), slices.Clone(t.parts[number].isr)
	}
	return nil, nil
}

// Quiet reports whether every partition has a leader and a full ISR, and all its replicas have all.
func (c *Cluster) Quiet() bool {
	for _, t := range c.controller.topics {
		for _, p := range t.parts {
			if t.deleted {
				continue
			}
			r := c.leader(t.id, p.number)
			if r == nil || len(p.isr) != len(p.replicas) || r.hw != r.end() || r.behind() {
				return false
			}
		}
	}
	return true
}

// Wrote reports whether a log holds anything of a producer id, or will: there may be no leader now, or what it has may
// not be replicated yet.
func (c *Cluster) Wrote(name string, number int32, id protocol.ProducerID) bool {
	t := c.controller.topic(name)
	if t == nil {
		return false
	}
	key, of := replicaKey{t.id, number}, func(e entry) bool { return e.pid == int64(id) }
	return slices.ContainsFunc(c.archive[key], of) || slices.ContainsFunc(c.nodes, func(n *node) bool {
		r := n.replicas[key]
		return r != nil && slices.ContainsFunc(r.log, of)
	})
}

// Appended reports whether a log, replicated or not, holds a producer's sequence; for a test's own choices.
func (c *Cluster) Appended(id protocol.TopicID, number int32, who protocol.ProducerIdentity, s protocol.Sequence) bool {
	var log []entry
	if r := c.leader(id, number); r != nil {
		log = c.archive.whole(r)
	} else {
		log = c.archive[replicaKey{id, number}]
	}
	return slices.ContainsFunc(log, func(e entry) bool {
		return e.pid == int64(who.ID) && e.pepoch == int16(who.Epoch) && protocol.Sequence(e.base).Distance(s) < int(e.count)
	})
}

// String is the state of the cluster in words, for a trace.
func (c *Cluster) String() string {
	var out strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&out, "broker %d: alive %v paused %v registered %v leaving %v slow %v cut off %v, has %d of %d changes\n",
			n.id, n.alive, n.paused, n.registered, n.leaving, n.slow, n.cutOff, n.applied, len(c.controller.changes))
	}
	for _, t := range c.controller.topics {
		for _, p := range t.parts {
			if t.deleted {
				continue
			}
			fmt.Fprintf(&out, "%s-%d: leader %d epoch %d version %d ISR %v ELR %v\n", t.name, p.number, p.leader, p.epoch, p.version, p.isr, p.elr)
			for _, id := range p.replicas {
				if r := c.nodes[id].replicas[replicaKey{t.id, p.number}]; r != nil {
					fmt.Fprintf(&out, "  replica %d: leader %d epoch %d version %d ISR %v start %d end %d hw %d, fetching %v, followers %+v\n",
						id, r.leader, r.epoch, r.version, r.isr, r.start, r.end(), r.hw, r.fetching, r.followers)
				}
			}
		}
	}
	return out.String()
}
