package broker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// For those who check.

// TransactionState is the internal topic by whose leader a coordinator of transactions moves, GroupOffsets that of groups.
const (
	TransactionState = txnTopic
	GroupOffsets     = offsetsTopic
)

// ended says of each batch of a transaction how that ended in this log.
func ended(log []entry, list []Logged) {
	open := map[int64][]int{} // by producer id
	for i := range log {
		switch e := &log[i]; {
		case e.marker != noMarker:
			for _, k := range open[e.pid] {
				list[k].Open, list[k].Aborted = false, e.marker == abortMarker
			}
			delete(open, e.pid)
		case e.transactional:
			list[i].Open = true
			open[e.pid] = append(open[e.pid], i)
		}
	}
}

// End is what was decided about a transaction, by its number. The zero value: nothing yet.
func (c *Cluster) End(serial int64) End { return c.ends[serial] }

// GroupOffset is what a group has committed; 0: nothing. ok is false while no coordinator of groups has read its log.
func GroupOffset(c *Cluster, group, topic string, number int32) (offset int64, ok bool) {
	for _, n := range c.nodes {
		if n.alive && n.groups.ready() == protocol.None {
			return n.groups.offsets(group, false).list[txnPart{topic, number}].offset, true
		}
	}
	return 0, false
}

// OpenTransactions says of which partitions transactions are open, and of which transactional ids, but for some ids.
func (c *Cluster) OpenTransactions(but ...string) (open []string) {
	ids := map[string]*coordinated{}
	if t := c.controller.topic(txnTopic); t != nil {
		if r := c.leader(t.id, 0); r != nil {
			ids = r.node.coordinator.ids
		}
	}
	for _, t := range c.controller.topics {
		if t.deleted || t.name == txnTopic {
			continue
		}
		for _, p := range t.parts {
			r := c.leader(t.id, p.number)
			if r == nil {
				continue
			}
			for _, who := range r.activeProducers() {
				if who.CurrentTxnStartOffset >= 0 && !slices.ContainsFunc(but, func(id string) bool { return ids[id] != nil && ids[id].pid == who.ProducerID }) {
					open = append(open, fmt.Sprintf("%s-%d from %d", t.name, p.number, who.CurrentTxnStartOffset))
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if x := ids[id]; x.state == ongoing || x.state.preparing() {
			open = append(open, "transactional id "+x.id+" is "+string(x.state))
		}
	}
	return open
}
