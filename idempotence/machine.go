package idempotence

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Machine is one topic-partition's way of delivering exactly once. Not safe for concurrent use: the sender owns it.
type Machine struct {
	target
	state
	identity
	batches
	resolution
	pace

	dirty bool // in Steps.Changed
}

// New is the machine of a partition that nothing was ever sent to.
func New(l *accumulator.Lane, partition int32) *Machine {
	return &Machine{
		target:     target{ID: partition, Lane: l, Queue: l.Partition(partition)},
		identity:   identity{seq: protocol.NewSequences()},
		resolution: resolution{mayAsk: true},
	}
}

// Restore takes what a start found of the partition's state.
func (m *Machine) Restore(st *spool.PartitionState) {
	m.restore(st)
	if st.Park.Parked() {
		m.park, m.phase = st.Park, Parked
	}
}

// Restored ends the restoring.
func (m *Machine) Restored() {
	for _, b := range m.window {
		b.lost = len(m.Lane.MissingOf(b.Seal.Spans)) > 0
	}
	var first protocol.Sequence
	if m.seq.Settled != protocol.NoSequence {
		first = m.seq.Settled.Next(1)
	}
	m.inOrder(first)
	if len(m.refusedMaybe) > 0 && m.seq.Settled != protocol.NoSequence && m.seq.LastOffset != protocol.NoOffset {
		// Something was acked behind it already: all of it lies below.
		m.boundKnown, m.bound = true, m.seq.LastOffset
	}
}

// Idle reports whether there is nothing to do until something new comes.
func (m *Machine) Idle() bool {
	return m.phase == Parked ||
		!m.Waiting() && m.Queue.Empty() && m.phase != Resolving && m.phase != ReadingTail && !m.Queue.Passed()
}

// State is what has to be durable, but for the leader epoch, which is not the machine's. It takes the machine
// off Steps.Changed.
func (m *Machine) State() spool.PartitionState {
	m.dirty = false
	return spool.PartitionState{
		Lane: m.Lane.ID, Partition: m.ID,
		Identity: m.seq.Identity, Next: m.seq.Next, Settled: m.seq.Settled,
		LastOffset: m.seq.LastOffset, LastMaxTimestamp: m.seq.LastMaxTimestamp, Park: m.park,
	}
}

// Mark has the state made durable with the next Write.
func (m *Machine) Mark(e *Env) {
	if !m.dirty {
		m.dirty = true
		e.Changed = append(e.Changed, m)
	}
}

// MayGiveBack reports whether the partition has waited for longer than half the longest back-off, also since it read bytes back,
// nothing of it is on the wire, and it holds the bytes of sealed batches. If it holds some and has not waited for so long, it is looked
// at again then.
func (m *Machine) MayGiveBack(e *Env) bool {
	if !m.Queue.Blocked() || m.onWire > 0 || !m.holdsBytes() {
		return false
	}
	if at := max(m.blockedAt, m.readAt) + e.RetryBackoffMaxMs/2; e.Now.Age < at {
		e.Wake(at)
		return false
	}
	return true
}

// GiveBack gives up the bytes of sealed batches, if it may, and keeps their seals: Advance has them read back from the spool
// when they can be sent. It reports whether it gave up any: Advance is to be called again then.
func (m *Machine) GiveBack(e *Env) bool {
	if !m.MayGiveBack(e) {
		return false
	}
	for _, b := range m.window {
		e.recycle(b)
	}
	return true
}

// LeaderChanged says that the partition has another leader, or none, or that its leader epoch is another one.
func (m *Machine) LeaderChanged(e *Env, known, epoch bool) {
	if epoch && m.seq.Identity.Valid() {
		m.Mark(e) // a start must not go by an older epoch either
	}
	if known {
		m.retryAt = min(m.retryAt, e.Now.Age) // the back-off is skipped (KIP-951)
	}
	e.Accumulator.WakeLanes()
}

// Rebind says that the topic was created anew and is the one that records go to now.
func (m *Machine) Rebind(e *Env) {
	m.anotherLog()
	m.Mark(e)
}
