package idempotence

import (
	"slices"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// Machine is one topic-partition's way of delivering exactly once. Not safe for concurrent use: the sender owns it.
type Machine struct {
	ID    int32 // of the partition
	Lane  *accumulator.Lane
	Queue *accumulator.Partition
	// Detail is why the partition waits, for status. Whoever drives the machine may set it.
	Detail string
	// Progress is the Age of the last ack.
	Progress int64

	seq   protocol.Sequences
	park  spool.Park
	phase Phase
	// window[0] is the oldest. len(window) <= MaxInFlight, but for what a start found and the halves of a batch
	// that was cut: a broker remembers no more than a producer's last five batches of a partition.
	window []*Sealed // sealed and not settled
	onWire int       // copies on the wire

	// refusedMaybe were refused, but perhaps another copy of them is in the log (Seal.Refused). boundKnown: the
	// first batch of the next epoch was acked, at bound: no copy can enter the log behind that.
	refusedMaybe []*Sealed
	boundKnown   bool
	bound        protocol.Offset

	way      uint64 // over which the log was looked at last; 0: over none
	mayAsk   bool   // false: no right to DescribeProducers
	tailBase protocol.Offset
	resolver *recovery.Resolver
	resend   *Sealed   // what the resolver wants on the wire
	build    *building // bytes being read back for resend
	round    uint64    // see Round

	retryAt   int64
	blockedAt int64 // Age since which the queue is blocked, or not
	pausing   bool  // the resolver's pause is under way until retryAt
	attempts  int
	healing   int  // how often the front waited for time to pass, since the last ack
	exhausted bool // no epoch is left under its producer id
	dirty     bool // in Steps.Changed
}

// building is a sealed batch whose bytes are being read back.
type building struct {
	batch   *Sealed
	builder *accumulator.Builder
}

// New is the machine of a partition that nothing was ever sent to.
func New(l *accumulator.Lane, partition int32) *Machine {
	return &Machine{ID: partition, Lane: l, Queue: l.Partition(partition), mayAsk: true, seq: protocol.NewSequences()}
}

// Restore takes what a start found of the partition's state.
func (m *Machine) Restore(st *spool.PartitionState) {
	m.seq.Identity, m.seq.Next, m.seq.Settled = st.Identity, st.Next, st.Settled
	m.seq.LastOffset, m.seq.LastMaxTimestamp = st.LastOffset, st.LastMaxTimestamp
	if st.LastOffset != protocol.NoOffset {
		m.tailBase = st.LastOffset + 1
	}
	if st.Park.Parked() {
		m.park, m.phase = st.Park, Parked
	}
}

// RestoreSeal takes a seal that a start found.
func (m *Machine) RestoreSeal(s *spool.Seal) {
	b := &Sealed{Seal: *s, durable: true, found: true, offset: protocol.NoOffset, stamp: -1}
	if s.Refused != 0 {
		b.code = s.Refused
		m.refusedMaybe = append(m.refusedMaybe, b)
	} else {
		m.window = append(m.window, b)
	}
}

// Restored ends the restoring. The window is put in the order of sequences, which is not always the order of
// sealing: the halves of a batch are sealed after what follows it.
func (m *Machine) Restored() {
	var first protocol.Sequence
	if m.seq.Settled != protocol.NoSequence {
		first = m.seq.Settled.Next(1)
	}
	slices.SortFunc(m.window, func(a, b *Sealed) int {
		return first.Distance(a.Seal.Base) - first.Distance(b.Seal.Base)
	})
	if len(m.refusedMaybe) > 0 && m.seq.Settled != protocol.NoSequence && m.seq.LastOffset != protocol.NoOffset {
		// Something was acked behind it already: all of it lies below.
		m.boundKnown, m.bound = true, m.seq.LastOffset
	}
}

// Phase is what the partition is doing.
func (m *Machine) Phase() Phase { return m.phase }

// Idle reports whether there is nothing to do until something new comes.
func (m *Machine) Idle() bool {
	return m.phase == Parked ||
		!m.Waiting() && m.Queue.Empty() && m.phase != Resolving && m.phase != ReadingTail && !m.Queue.Passed()
}

// Waiting reports whether the fate of any batch is not decided.
func (m *Machine) Waiting() bool { return len(m.window) > 0 || len(m.refusedMaybe) > 0 }

// Seals is how many batches are sealed and not settled.
func (m *Machine) Seals() int { return len(m.window) + len(m.refusedMaybe) }

// OnWire is how many copies are on the wire.
func (m *Machine) OnWire() int { return m.onWire }

// InFlight is how many batches are sealed and not settled, but for those that were refused and may be in the log.
func (m *Machine) InFlight() int { return len(m.window) }

// Park is why the partition is parked; the zero Park if it is not.
func (m *Machine) Park() spool.Park { return m.park }

// Sequences are identity, sequences and offsets; a copy.
func (m *Machine) Sequences() protocol.Sequences { return m.seq }

// MayAsk reports whether the leader may be asked about producers (READ on the topic).
func (m *Machine) MayAsk() bool { return m.mayAsk }

// Round is another number whenever all that was asked of the leader, or read of its log, is void.
func (m *Machine) Round() uint64 { return m.round }

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

// InDoubt is how many records of an unknown fate there are.
func (m *Machine) InDoubt() int { return records(m.window) + records(m.refusedMaybe) }

// RefusedMaybe is how many records were refused and are perhaps in the log.
func (m *Machine) RefusedMaybe() int { return records(m.refusedMaybe) }

func records(list []*Sealed) int {
	n := 0
	for _, b := range list {
		n += int(b.Seal.Count)
	}
	return n
}

// lowest is at or below the offset of the next batch.
func (m *Machine) lowest() protocol.Offset {
	if m.seq.LastOffset == protocol.NoOffset {
		return m.tailBase
	}
	return max(m.tailBase, m.seq.LastOffset+1)
}

// overtaken reports whether something behind an unanswered batch was acked.
func (m *Machine) overtaken() bool {
	return slices.ContainsFunc(m.window[min(1, len(m.window)):], func(b *Sealed) bool { return b.acked })
}

// doubtful reports whether any copy of any batch may be in the log without our knowledge.
func (m *Machine) doubtful() bool { return slices.ContainsFunc(m.window, (*Sealed).inDoubt) }

// Wait notes why the partition waits, and has it tried again after a back-off.
func (m *Machine) Wait(e *Env, detail string) {
	m.Detail = detail
	m.retryAt = e.Now.Age + m.Backoff(e)
	e.Wake(m.retryAt)
}

// Backoff is how long to wait before something is tried once more, in ms.
func (m *Machine) Backoff(e *Env) int64 {
	m.attempts++
	return e.Config.Backoff.After(m.attempts)
}

// Block says whether records may be taken for the partition, or others may use the memory.
func (m *Machine) Block(e *Env, blocked bool) {
	if m.Queue.Blocked() != blocked {
		m.blockedAt = e.Now.Age
		m.Lane.Block(e.Accumulator, m.Queue, blocked)
	}
}

// MayGiveBack reports whether the partition has waited for longer than a back-off, nothing of it is on the wire, and
// it holds the bytes of sealed batches. If it holds some and has not waited for so long, it is looked at again then.
func (m *Machine) MayGiveBack(e *Env) bool {
	if !m.Queue.Blocked() || m.onWire > 0 || !slices.ContainsFunc(m.window, func(b *Sealed) bool { return b.Batch != nil }) {
		return false
	}
	if at := m.blockedAt + e.RetryBackoffMaxMs; e.Now.Age < at {
		e.Wake(at)
		return false
	}
	return true
}

// GiveBack gives up the bytes of sealed batches, if it may, and keeps their seals: they are read back from the spool
// when they can be sent.
func (m *Machine) GiveBack(e *Env) {
	if !m.MayGiveBack(e) {
		return
	}
	for _, b := range m.window {
		e.recycle(b)
	}
}

// forget drops all that was asked, read or sent to find out the fate of batches.
func (m *Machine) forget() {
	m.resend, m.build = nil, nil
	m.round++
}

// LeaderChanged says that the partition has another leader, or none, or that its leader epoch is another one.
func (m *Machine) LeaderChanged(e *Env, known, epoch bool) {
	if epoch && m.seq.Identity.Valid() {
		m.Mark(e) // a start must not believe an older epoch either
	}
	if known {
		m.retryAt = min(m.retryAt, e.Now.Age) // the back-off is skipped (KIP-951)
	}
	e.Accumulator.WakeLanes()
}

// Rebind says that the topic was created anew and is the one that records go to now.
func (m *Machine) Rebind(e *Env) {
	m.seq.LastOffset, m.seq.LastMaxTimestamp, m.tailBase = protocol.NoOffset, 0, 0
	m.Mark(e)
}
