package spool

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
)

// State is everything a spool stores apart from its records and its idempotency
// keys. In memory it is this struct; on disk, pairs of key and value
// (statecodec.go). Every method that changes it adds the pairs that change
// to Changes. Not safe for concurrent use.
type State struct {
	Binding   Binding
	lanes     []*laneState // by LaneID: ids are given from 0 up, without gaps
	byTopic   map[string]LaneID
	parts     map[partitionKey]PartitionState
	seals     map[SealKey]*Seal
	notes     map[string][]byte
	segments  map[uint64]SegmentInfo
	legacy    map[deadRef]struct{} // dead letters of format version 1
	deadCount int
	serial    uint64 // of the last dead letter
	counters  Counters
	txn       Transaction

	stagedUnits
	losses
	history
	ages
}

// Binding is what ties a spool to its place and its cluster.
type Binding struct {
	SpoolID     string
	Incarnation uint64
	MachineID   string // /etc/machine-id, or "" where there is none
	LockInode   uint64 // of the lock file: another one in a copy
	ClusterID   string
	Former      Identity // producer id of the last start that had one
	Stopped     string
}

// SegmentInfo is what the list of live segments says of one that is not the
// active one any more.
type SegmentInfo struct {
	Number  uint64
	Bytes   int64  // of its live blocks when it was left
	Blocks  uint64 // live ones when it was left
	Sum     Sum    // over those blocks' names and footers' CRCs
	Keys    uint64 // blocks of idempotency keys
	KeySum  Sum
	Extents []Extent // ascending by lane, first; those of one lane never overlap, nor another segment's
	// Damaged: its file is set aside, and the numbers above are those of the blocks whose checksums hold.
	Damaged bool
}

// Extent says that entries of a lane in this range, if they are needed at all,
// are in this segment.
type Extent struct {
	Lane LaneID
	Span
}

// deadRef names a dead letter.
type deadRef struct {
	lane  LaneID
	index Index
}

type partitionKey struct {
	lane      LaneID
	partition int32
}

type laneState struct {
	id       LaneID
	topic    string
	topicID  protocol.TopicID
	end      Index
	settled  *Set
	facts    Facts
	counters Counters
	seals    map[SealKey]*Seal

	dirty       bool                // end, low or counters
	dirtyChunks map[uint64]struct{} // of settled
	stored      map[uint64]struct{} // chunks that are on disk
	flushedLow  Index               // settled.Low() at the last Flush
	dead        deadSet             // nil until there is one
	deadCount   int                 // in dead
	dirtyDead   map[uint64]struct{}
	missing     []Span // in no file, and their fate is not known; ascending
	// otherwise are entries that left without an ack, by outcome, for those who ask.
	otherwise  map[Outcome]deadSet
	dirtyOther map[outcomeChunk]struct{}
	ages       []AgeMark // ascending; see ages.go
	dirtyAges  bool
}

// NewState is the state of a spool that has just been made.
func NewState() *State {
	st := &State{
		byTopic:  make(map[string]LaneID),
		parts:    make(map[partitionKey]PartitionState),
		seals:    make(map[SealKey]*Seal),
		notes:    make(map[string][]byte),
		segments: make(map[uint64]SegmentInfo),
		legacy:   make(map[deadRef]struct{}),
		txn:      noTransaction,
	}
	st.stagedUnits = stagedUnits{of: st, units: make(map[uint64][]UnitRun)}
	st.losses, st.history, st.ages = losses{of: st}, history{of: st}, ages{of: st}
	return st
}

// Lanes is how many lanes there are; their ids are 0 to Lanes-1.
func (st *State) Lanes() int { return len(st.lanes) }

// Lane finds a topic's lane.
func (st *State) Lane(topic string) (LaneID, bool) {
	id, ok := st.byTopic[topic]
	return id, ok
}

// Topic is the lane's topic.
func (st *State) Topic(id LaneID) string { return st.lanes[id].topic }

// End is one above the last entry of the lane.
func (st *State) End(id LaneID) Index { return st.lanes[id].end }

// Settled are the entries of the lane that have left. It must not be changed.
func (st *State) Settled(id LaneID) *Set { return st.lanes[id].settled }

// Counters of the whole spool.
func (st *State) Counters() Counters { return st.counters }

// LaneCounters are those of one lane.
func (st *State) LaneCounters(id LaneID) Counters { return st.lanes[id].counters }

// Transaction is what is known of the transactional id. Its slices must not be changed.
func (st *State) Transaction() Transaction { return st.txn }

// Note is a caller's fact, or false.
func (st *State) Note(name string) ([]byte, bool) {
	v, ok := st.notes[name]
	return v, ok
}

// Notes are the callers' facts whose names begin with prefix, by name.
func (st *State) Notes(prefix string) map[string][]byte {
	found := make(map[string][]byte)
	for name, value := range st.notes {
		if strings.HasPrefix(name, prefix) {
			found[name] = slices.Clone(value)
		}
	}
	return found
}

// AddLane gives a topic its lane. Topics are added in the order of their ids.
func (st *State) AddLane(l NewLane, out *Changes) error {
	if int(l.ID) != len(st.lanes) {
		return fmt.Errorf("lane %d for %q, but the next one is %d", l.ID, l.Topic, len(st.lanes))
	}
	if _, ok := st.byTopic[l.Topic]; ok {
		return fmt.Errorf("a second lane for %q", l.Topic)
	}
	st.putLane(l.ID, l.Topic, protocol.TopicID{})
	st.lanes[l.ID].dirty = true
	out.lane(st.lanes[l.ID])
	return nil
}

func (st *State) putLane(id LaneID, topic string, topicID protocol.TopicID) {
	st.lanes = append(st.lanes, &laneState{id: id, topic: topic, topicID: topicID, settled: NewSet(0), seals: make(map[SealKey]*Seal)})
	st.byTopic[topic] = id
}

// Append says that n entries were added to a lane.
func (st *State) Append(id LaneID, n int) {
	l := st.lanes[id]
	l.end += Index(n)
	l.counters.Accepted += uint64(n)
	st.counters.Accepted += uint64(n)
	l.dirty = true
}

// PutNote keeps a caller's fact; nil forgets it.
func (st *State) PutNote(name string, value []byte, out *Changes) {
	if value == nil {
		delete(st.notes, name)
	} else {
		st.notes[name] = slices.Clone(value)
	}
	out.note(name, value)
}

// PutSegment puts a segment on the list.
func (st *State) PutSegment(info SegmentInfo, out *Changes) {
	st.segments[info.Number] = info
	out.segment(info)
}

// DropSegment takes a segment off the list.
func (st *State) DropSegment(number uint64, out *Changes) {
	delete(st.segments, number)
	out.delete(segmentKey(number))
}

// Segments is the list of live segments apart from the active one, ascending.
func (st *State) Segments() []SegmentInfo {
	return slices.SortedFunc(maps.Values(st.segments), func(a, b SegmentInfo) int { return cmp.Compare(a.Number, b.Number) })
}

// Rebind says that the binding was changed.
func (st *State) Rebind(out *Changes) { out.binding(&st.Binding) }

// Flush adds what changes with almost every commit, once per lane: its end,
// settled entries and counters. Call it last.
func (st *State) Flush(out *Changes) {
	for _, l := range st.lanes {
		if !l.dirty {
			continue
		}
		l.dirty = false
		out.progress(l)
		l.flushDead(out)
		l.flushOutcomes(out)
		l.flushAges(out)
		if low := l.settled.Low(); low != l.flushedLow {
			l.flushedLow = low
			l.dirtyBelow(uint64(low) >> chunkShift)
		}
		if len(l.dirtyChunks) == 0 {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(l.dirtyChunks)) {
			out.chunk(l, k)
		}
		clear(l.dirtyChunks)
	}
}

// dirtyBelow marks the stored chunks up to key: low has risen over them.
func (l *laneState) dirtyBelow(key uint64) {
	for k := range l.stored {
		if k > key {
			continue
		}
		if l.dirtyChunks == nil {
			l.dirtyChunks = make(map[uint64]struct{})
		}
		l.dirtyChunks[k] = struct{}{}
	}
}

// Recovered is what a start finds; it shares nothing that changes with the state.
func (st *State) Recovered() *Recovered {
	r := &Recovered{
		SpoolID: st.Binding.SpoolID, Incarnation: st.Binding.Incarnation, ClusterID: st.Binding.ClusterID,
		Former: st.Binding.Former, Stopped: st.Binding.Stopped, Counters: st.counters,
		Transaction: st.txn,
	}
	for _, l := range st.lanes {
		r.Lanes = append(r.Lanes, Lane{
			ID: l.id, Topic: l.topic, TopicID: l.topicID, End: l.end, Settled: l.settled.Clone(),
			Facts: Facts{slices.Clone(l.facts.Counts), slices.Clone(l.facts.Sticky)}, Counters: l.counters,
			Missing: slices.Clone(l.missing), DeadLetters: st.LaneDeadLetters(l.id),
		})
	}
	for _, p := range st.parts {
		r.Partitions = append(r.Partitions, p)
	}
	slices.SortFunc(r.Partitions, func(a, b PartitionState) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Partition, b.Partition))
	})
	for _, s := range st.seals {
		c := *s
		c.Spans = slices.Clone(s.Spans)
		r.Seals = append(r.Seals, c)
	}
	slices.SortFunc(r.Seals, func(a, b Seal) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	return r
}
