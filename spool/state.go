package spool

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// State is everything a spool knows apart from its records and its idempotency
// keys. In memory it is this struct; on disk, pairs of key and value
// (statecodec.go). Every method that changes it adds the pairs that change
// to Changes. Not safe for concurrent use.
type State struct {
	Binding    Binding
	lanes      []*laneState // by LaneID: ids are given from 0 up, without gaps
	byTopic    map[string]LaneID
	parts      map[partitionKey]PartitionState
	seals      map[SealKey]*Seal
	notes      map[string][]byte
	segments   map[uint64]SegmentInfo
	dead       map[deadRef]struct{}
	audit      uint64
	firstAudit uint64
	counters   Counters
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
}

// NewState is the state of a spool that has just been made.
func NewState() *State {
	return &State{
		byTopic:  make(map[string]LaneID),
		parts:    make(map[partitionKey]PartitionState),
		seals:    make(map[SealKey]*Seal),
		notes:    make(map[string][]byte),
		segments: make(map[uint64]SegmentInfo),
		dead:     make(map[deadRef]struct{}),
	}
}

// maxAudit is how many audit entries are kept.
const maxAudit = 1000

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

// Note is a caller's fact, or false.
func (st *State) Note(name string) ([]byte, bool) {
	v, ok := st.notes[name]
	return v, ok
}

// DeadLetters is how many there are.
func (st *State) DeadLetters() int { return len(st.dead) }

// DeadLettered reports whether an entry was moved to the dead letters.
func (st *State) DeadLettered(id LaneID, i Index) bool {
	_, ok := st.dead[deadRef{id, i}]
	return ok
}

// AddLane gives a topic its lane. Topics are added in the order of their ids.
func (st *State) AddLane(l NewLane, out *Changes) error {
	if int(l.ID) != len(st.lanes) {
		return fmt.Errorf("spool: lane %d for %q, but the next one is %d", l.ID, l.Topic, len(st.lanes))
	}
	if _, ok := st.byTopic[l.Topic]; ok {
		return fmt.Errorf("spool: a second lane for %q", l.Topic)
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

// EntryFunc finds the bytes of one entry, as AppendEntry wrote them.
type EntryFunc func(LaneID, Index) ([]byte, error)

// Apply carries out a Write, in the order of its fields. An error means that
// the Write speaks of what does not exist: a bug of the caller, and the state
// must not be used any more.
func (st *State) Apply(w *Write, entry EntryFunc, out *Changes) error {
	rebind := w.ClusterID != "" || w.Identity != nil || w.Stop != "" || w.ClearStop
	if w.ClusterID != "" {
		st.Binding.ClusterID = w.ClusterID
	}
	if w.Identity != nil {
		st.Binding.Former = *w.Identity
	}
	for _, b := range w.Bindings {
		l, err := st.lane(b.Lane, "binding")
		if err != nil {
			return err
		}
		l.topicID = b.TopicID
		if b.ResetFacts {
			out.dropFacts(l, l.facts)
			l.facts = Facts{}
		}
		out.lane(l)
	}
	for _, f := range w.Facts {
		if err := st.addFacts(f, out); err != nil {
			return err
		}
	}
	for _, k := range w.Unseal {
		st.unseal(k, out)
	}
	for i := range w.Seals {
		if err := st.putSeal(w.Seals[i], out); err != nil {
			return err
		}
	}
	// Dead letters are copied before their settlement, which may free their block.
	for _, d := range w.DeadLetters {
		if _, err := st.lane(d.Lane, "dead letter"); err != nil {
			return err
		}
		b, err := entry(d.Lane, d.Index)
		if err != nil {
			return err
		}
		st.dead[deadRef{d.Lane, d.Index}] = struct{}{}
		out.deadLetter(d, b)
	}
	for _, s := range w.Settle {
		if err := st.settle(s, out); err != nil {
			return err
		}
	}
	for _, p := range w.Partitions {
		if _, err := st.lane(p.Lane, "partition"); err != nil {
			return err
		}
		st.parts[partitionKey{p.Lane, p.Partition}] = p
		out.partition(p)
	}
	if w.Stop != "" {
		st.Binding.Stopped = w.Stop
	}
	if w.ClearStop {
		st.Binding.Stopped = ""
	}
	for _, a := range w.Audit {
		st.addAudit(a, out)
	}
	if rebind {
		st.Rebind(out)
	}
	return nil
}

func (st *State) lane(id LaneID, what string) (*laneState, error) {
	if int(id) >= len(st.lanes) {
		return nil, fmt.Errorf("spool: %s of lane %d, but there are %d lanes", what, id, len(st.lanes))
	}
	return st.lanes[id], nil
}

func (st *State) addFacts(f LaneFacts, out *Changes) error {
	l, err := st.lane(f.Lane, "fact")
	if err != nil {
		return err
	}
	for _, c := range f.Counts {
		if n := len(l.facts.Counts); n > 0 && l.facts.Counts[n-1].From > c.From {
			return fmt.Errorf("spool: partition count of %q from %d comes after one from %d", l.topic, c.From, l.facts.Counts[n-1].From)
		} else if n > 0 && l.facts.Counts[n-1].From == c.From {
			l.facts.Counts[n-1] = c
		} else {
			l.facts.Counts = append(l.facts.Counts, c)
		}
	}
	for _, c := range f.Sticky {
		if n := len(l.facts.Sticky); n > 0 && l.facts.Sticky[n-1].From > c.From {
			return fmt.Errorf("spool: sticky run of %q from %d comes after one from %d", l.topic, c.From, l.facts.Sticky[n-1].From)
		} else if n > 0 && l.facts.Sticky[n-1].From == c.From {
			l.facts.Sticky[n-1] = c
		} else {
			l.facts.Sticky = append(l.facts.Sticky, c)
		}
	}
	out.facts(l.id, f.Facts)
	return nil
}

// pruneFacts forgets what no unsettled entry is under any more.
func (st *State) pruneFacts(l *laneState, out *Changes) {
	low := l.settled.Low()
	var gone Facts
	i := 0
	for i+1 < len(l.facts.Counts) && l.facts.Counts[i+1].From <= low {
		i++
	}
	gone.Counts, l.facts.Counts = l.facts.Counts[:i], l.facts.Counts[i:]
	i = 0
	for i+1 < len(l.facts.Sticky) && l.facts.Sticky[i+1].From <= low {
		i++
	}
	gone.Sticky, l.facts.Sticky = l.facts.Sticky[:i], l.facts.Sticky[i:]
	out.dropFacts(l, gone)
}

func (st *State) putSeal(s Seal, out *Changes) error {
	l, err := st.lane(s.Lane, "seal")
	if err != nil {
		return err
	}
	n := 0
	var at Index
	for _, sp := range s.Spans {
		if sp.First < at || sp.First >= sp.End || sp.End > l.end {
			return fmt.Errorf("spool: seal of %q holds %v, but the lane ends at %d and spans ascend", l.topic, s.Spans, l.end)
		}
		at = sp.End
		n += sp.Len()
	}
	if n != int(s.Count) || n == 0 {
		return fmt.Errorf("spool: seal of %q says %d records and holds %d", l.topic, s.Count, n)
	}
	s.Spans = joinSpans(s.Spans)
	p := &s
	st.seals[s.SealKey], l.seals[s.SealKey] = p, p
	out.seal(p)
	return nil
}

func (st *State) unseal(k SealKey, out *Changes) {
	if _, ok := st.seals[k]; !ok {
		return
	}
	delete(st.seals, k)
	delete(st.lanes[k.Lane].seals, k)
	out.delete(sealKey(k))
}

func (st *State) settle(s Settlement, out *Changes) error {
	l, err := st.lane(s.Lane, "settlement")
	if err != nil {
		return err
	}
	n := uint64(0)
	for _, sp := range s.Spans {
		if sp.First > sp.End || sp.End > l.end {
			return fmt.Errorf("spool: settlement of %q at %v, but the lane ends at %d", l.topic, sp, l.end)
		}
		if sp.First == sp.End {
			continue
		}
		if sp.First > l.settled.Low() {
			if l.dirtyChunks == nil {
				l.dirtyChunks = make(map[uint64]struct{})
			}
			dirtyChunks(l.dirtyChunks, sp)
		}
		n += uint64(l.settled.Add(sp))
	}
	var c Counters
	switch s.Outcome {
	case OutcomeAcked:
		c.Acked = n
	case OutcomeDeadLettered:
		c.DeadLettered = n
	case OutcomeExpired:
		c.Expired = n
	default:
		return fmt.Errorf("spool: settlement of %q with outcome %d", l.topic, s.Outcome)
	}
	l.counters, st.counters = l.counters.Add(c), st.counters.Add(c)
	l.dirty = true
	// A seal has done its work when every record of it has left.
	for k, seal := range l.seals {
		if l.settled.Contains(seal.Spans[0].First) && st.sealLeft(l, seal) {
			st.unseal(k, out)
		}
	}
	st.pruneFacts(l, out)
	return nil
}

func (st *State) sealLeft(l *laneState, s *Seal) bool {
	for _, sp := range s.Spans {
		if l.settled.CountIn(sp) != sp.Len() {
			return false
		}
	}
	return true
}

func (st *State) addAudit(a AuditEntry, out *Changes) {
	out.auditEntry(st.audit, a)
	st.audit++
	if st.audit-st.firstAudit > maxAudit {
		out.delete(auditKey(st.firstAudit))
		st.firstAudit++
	}
}

// Flush adds what changes with almost every commit, once per lane: its end,
// settled entries and counters. Call it last.
func (st *State) Flush(out *Changes) {
	for _, l := range st.lanes {
		if !l.dirty {
			continue
		}
		l.dirty = false
		out.progress(l)
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
	}
	for _, l := range st.lanes {
		r.Lanes = append(r.Lanes, Lane{
			ID: l.id, Topic: l.topic, TopicID: l.topicID, End: l.end, Settled: l.settled.Clone(),
			Facts: Facts{slices.Clone(l.facts.Counts), slices.Clone(l.facts.Sticky)}, Counters: l.counters,
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
