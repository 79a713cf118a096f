package txn

import "github.com/spoold/spoold/protocol"

// A transaction may carry nothing and still end others: when it ends, its coordinator writes a marker in each partition that it
// was given, and a marker ends whatever its producer id has open there.

// Announce has the transaction's end marked in a partition that nothing is written to, under both versions.
func (c *contents) Announce(tp protocol.TopicPartition) {
	if _, ok := c.partitions[tp]; !ok {
		c.partitions[tp] = false
	}
}

// AnnounceGroup has the transaction's end marked where the offsets of a group are kept, and commits none.
func (c *contents) AnnounceGroup(id string) {
	c.offsets = append(c.offsets, &GroupOffsets{Group: Group{ID: id, Generation: -1}, announce: true})
}

// Joined reports whether the coordinator has taken the offsets of the transaction at hand. It does so only after it is done with
// the transaction before, with all of the markers that it writes.
func (m *Machine) Joined() bool { return m.state == InTransaction && m.begun && len(m.offsets) == 0 }
