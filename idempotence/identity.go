package idempotence

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// identity is what a partition's batches are sealed under, and how far its log is known to reach.
type identity struct {
	seq       protocol.Sequences
	exhausted bool // no epoch is left under its producer id
	tailBase  protocol.Offset
}

// restore takes what a start found.
func (id *identity) restore(st *spool.PartitionState) {
	id.seq.Identity, id.seq.Next, id.seq.Settled = st.Identity, st.Next, st.Settled
	id.seq.LastOffset, id.seq.LastMaxTimestamp = st.LastOffset, st.LastMaxTimestamp
	if st.LastOffset != protocol.NoOffset {
		id.tailBase = st.LastOffset + 1
	}
}

// Sequences are identity, sequences and offsets; a copy.
func (id *identity) Sequences() protocol.Sequences { return id.seq }

// lowest is at or below the offset of the next batch.
func (id *identity) lowest() protocol.Offset {
	if id.seq.LastOffset == protocol.NoOffset {
		return id.tailBase
	}
	return max(id.tailBase, id.seq.LastOffset+1)
}

// raised reports whether its epoch was raised to shut out what the former one left
// behind, and nothing was acked under it yet: it stays with that producer id. (The
// cluster gives out epoch 0 only.)
func (id *identity) raised() bool {
	return id.seq.Identity.Valid() && id.seq.Identity.Epoch > 0 && id.seq.Settled == protocol.NoSequence
}

// wentBack reports whether a batch was acked at or below where one was acked before. A duplicate is answered with the offset
// of its first copy, which was not appended below what went before it either.
func (id *identity) wentBack(offset protocol.Offset, how string) bool {
	return how == "answer" && offset != protocol.NoOffset && id.seq.LastOffset != protocol.NoOffset && offset <= id.seq.LastOffset
}

// Producer is the identity that the leader is asked about. One that was never used here must not have been used by
// anybody else either.
func (id *identity) Producer(e *Env) protocol.ProducerIdentity {
	if id.seq.Identity.Valid() {
		return id.seq.Identity
	}
	return e.Former
}

// lowestSettled is the offset below which all lies that was settled.
func (id *identity) lowestSettled() protocol.Offset {
	if id.seq.LastOffset == protocol.NoOffset {
		return 0
	}
	return id.seq.LastOffset + 1
}

// anotherLog forgets what was known of the log: it is another one now.
func (id *identity) anotherLog() {
	id.seq.LastOffset, id.seq.LastMaxTimestamp, id.tailBase = protocol.NoOffset, 0, 0
}

// adopt takes this start's producer id, if nothing of the partition is in doubt (free). usable: there is an identity to
// seal under. adopted: it is a new one.
func (id *identity) adopt(e *Env, free bool) (usable, adopted bool) {
	own := id.seq.Identity
	if !free {
		return own.Valid(), false
	}
	exhausted := own.Epoch == protocol.MaxProducerEpoch && id.exhausted
	if own.ID == e.Identity.ID && e.Identity.Valid() && !exhausted {
		return true, false
	}
	if id.raised() && !exhausted {
		return true, false // its own next epoch first: a new id would not fence the old one
	}
	if !e.Identity.Valid() || exhausted && own.ID == e.Identity.ID {
		if exhausted {
			e.AnotherIdentity = true
		}
		return false, false
	}
	id.seq.Adopt(e.Identity)
	id.exhausted = false
	return true, true
}

// bump goes on at sequence 0 of the next epoch, and reports whether there was an identity at all.
func (id *identity) bump(e *Env) bool {
	if !id.seq.Identity.Valid() {
		return false
	}
	if !id.seq.Bump() {
		id.exhausted = true // the next id comes from the cluster
		e.AnotherIdentity = true
		id.seq.Settled = protocol.NoSequence
	}
	return true
}

// leavesNoRoom is why earlier batches cannot be settled for the ack of a later one, which leaves no room for them in the
// log; the zero Park if they can: it is not the log that they were sent to, or its broker has forgotten the producer, and
// took a batch that arrived late for its first one, whatever its sequence. (Where Produce goes by name, a topic that was
// created anew does so, too.)
func (id *identity) leavesNoRoom(step *recovery.Step, window []*Sealed) spool.Park {
	if step.How != "answer" {
		return spool.Park{}
	}
	room := id.lowest()
	for k, offset := range step.Offsets[:step.Count] {
		switch {
		case k == 0 || offset == protocol.NoOffset || offset >= room:
		case id.wentBack(offset, step.How):
			return lower(offset, id.seq.LastOffset)
		default:
			return spool.Park{Reason: spool.ParkStateForgotten, Detail: fmt.Sprintf(
				"a batch was acked at offset %d, and those before it would end at %d: the leader has forgotten them", offset, room)}
		}
		room += protocol.Offset(window[k].Seal.Count)
	}
	return spool.Park{}
}

// lower is why a partition is parked of which a batch was acked at offset after one at last.
func lower(offset, last protocol.Offset) spool.Park {
	return spool.Park{Reason: spool.ParkLogWentBack, Detail: fmt.Sprintf(
		"a batch was acked at offset %d, but offset %d had been acked before", offset, last)}
}
