package spool

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/spoold/spoold/protocol"
)

// The state on disk is pairs. A key is a letter and fixed-width big-endian
// numbers; a value is fields as enc writes them. FORMAT.md lists all of them.
const (
	prefixBinding   = 'b'
	prefixProgress  = 'c' // lane: end, low, counters
	prefixDead      = 'd' // lane, index: dead letter and its entry
	prefixFact      = 'f' // lane, kind, from: number
	prefixSegment   = 'g' // segment number
	prefixLane      = 'l' // lane: topic, topic id
	prefixNote      = 'n' // name
	prefixPartition = 'p' // lane, partition
	prefixSeal      = 's' // lane, partition, producer id, epoch, base
	prefixAudit     = 'u' // number
	prefixSettled   = 'z' // lane, chunk: 512 bytes
)

// Kinds of facts.
const (
	factCount  = 0
	factSticky = 1
)

// maxNumber bounds indexes and sizes on disk, so that sums of two do not wrap.
const maxNumber = math.MaxInt64 / 4

// KV is a pair to put, or with Value nil a key to delete.
type KV struct{ Key, Value []byte }

// Changes is what one commit does to the pairs of the state, in order.
type Changes struct{ List []KV }

func (c *Changes) put(key, value []byte) { c.List = append(c.List, KV{key, value}) }
func (c *Changes) delete(key []byte)     { c.List = append(c.List, KV{key, nil}) }

// Bytes is how much the changes hold, roughly what they take on disk.
func (c *Changes) Bytes() int {
	n := 0
	for i := range c.List {
		n += len(c.List[i].Key) + len(c.List[i].Value) + 32
	}
	return n
}

func key32(prefix byte, lane LaneID) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefix}, uint32(lane))
}

func laneKey(id LaneID) []byte     { return key32(prefixLane, id) }
func progressKey(id LaneID) []byte { return key32(prefixProgress, id) }

func chunkKey(id LaneID, chunk uint64) []byte {
	return binary.BigEndian.AppendUint64(key32(prefixSettled, id), chunk)
}

func deadKey(id LaneID, i Index) []byte {
	return binary.BigEndian.AppendUint64(key32(prefixDead, id), uint64(i))
}

func factKey(id LaneID, kind byte, from Index) []byte {
	return binary.BigEndian.AppendUint64(append(key32(prefixFact, id), kind), uint64(from))
}

func partitionStateKey(id LaneID, partition int32) []byte {
	return binary.BigEndian.AppendUint32(key32(prefixPartition, id), uint32(partition))
}

func sealKey(k SealKey) []byte {
	b := binary.BigEndian.AppendUint32(key32(prefixSeal, k.Lane), uint32(k.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(k.Identity.ID))
	b = binary.BigEndian.AppendUint16(b, uint16(k.Identity.Epoch))
	return binary.BigEndian.AppendUint32(b, uint32(k.Base))
}

func segmentKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixSegment}, number)
}

func auditKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixAudit}, number)
}

func noteKey(name string) []byte { return append([]byte{prefixNote}, name...) }

func (c *Changes) binding(b *Binding) {
	var e enc
	e.str(b.SpoolID)
	e.u64(b.Incarnation)
	e.str(b.MachineID)
	e.u64(b.LockInode)
	e.str(b.ClusterID)
	e.identity(b.Former)
	e.str(b.Stopped)
	c.put([]byte{prefixBinding}, e.b)
}

func (c *Changes) lane(l *laneState) {
	var e enc
	e.str(l.topic)
	e.raw(l.topicID[:])
	c.put(laneKey(l.id), e.b)
}

func (c *Changes) progress(l *laneState) {
	var e enc
	e.u64(uint64(l.end))
	e.u64(uint64(l.settled.Low()))
	e.u64(l.counters.Accepted)
	e.u64(l.counters.Acked)
	e.u64(l.counters.DeadLettered)
	e.u64(l.counters.Expired)
	c.put(progressKey(l.id), e.b)
}

func (c *Changes) chunk(l *laneState, chunk uint64) {
	b, ok := l.settled.appendChunk(nil, chunk)
	if !ok {
		if _, stored := l.stored[chunk]; stored {
			delete(l.stored, chunk)
			c.delete(chunkKey(l.id, chunk))
		}
		return
	}
	if l.stored == nil {
		l.stored = make(map[uint64]struct{})
	}
	l.stored[chunk] = struct{}{}
	c.put(chunkKey(l.id, chunk), b)
}

func (c *Changes) facts(id LaneID, f Facts) {
	for _, x := range f.Counts {
		var e enc
		e.i64(int64(x.Count))
		c.put(factKey(id, factCount, x.From), e.b)
	}
	for _, x := range f.Sticky {
		var e enc
		e.i64(int64(x.Partition))
		c.put(factKey(id, factSticky, x.From), e.b)
	}
}

func (c *Changes) dropFacts(l *laneState, f Facts) {
	for _, x := range f.Counts {
		c.delete(factKey(l.id, factCount, x.From))
	}
	for _, x := range f.Sticky {
		c.delete(factKey(l.id, factSticky, x.From))
	}
}

func (c *Changes) seal(s *Seal) {
	var e enc
	e.i64(int64(s.Count))
	e.spans(s.Spans)
	e.raw(s.TopicID[:])
	e.i64(s.MaxTimestamp)
	e.i64(s.SealedAt)
	e.i64(s.SealedAge)
	e.i64(int64(s.Tail))
	e.u64(s.Ordinal)
	e.i64(int64(s.Refused))
	c.put(sealKey(s.SealKey), e.b)
}

func (c *Changes) partition(p PartitionState) {
	var e enc
	e.identity(p.Identity)
	e.i64(int64(p.Next))
	e.i64(int64(p.Settled))
	e.i64(int64(p.LastOffset))
	e.i64(p.LastMaxTimestamp)
	e.str(p.Park.Reason)
	e.str(p.Park.Detail)
	e.i64(p.Park.At)
	c.put(partitionStateKey(p.Lane, p.Partition), e.b)
}

func (c *Changes) deadLetter(d DeadLetter, entry []byte) {
	var e enc
	e.i64(int64(d.Partition))
	e.i64(int64(d.Code))
	e.str(d.Message)
	e.i64(int64(d.Attempts))
	e.i64(d.At)
	e.str(string(entry))
	c.put(deadKey(d.Lane, d.Index), e.b)
}

func (c *Changes) note(name string, value []byte) {
	if value == nil {
		c.delete(noteKey(name))
		return
	}
	var e enc
	e.str(string(value))
	c.put(noteKey(name), e.b)
}

func (c *Changes) segment(s SegmentInfo) {
	var e enc
	e.u64(uint64(s.Bytes))
	e.u64(s.Blocks)
	e.fix64(uint64(s.Sum))
	e.u64(s.Keys)
	e.fix64(uint64(s.KeySum))
	e.u64(uint64(len(s.Extents)))
	for _, x := range s.Extents {
		e.u64(uint64(x.Lane))
		e.u64(uint64(x.First))
		e.u64(uint64(x.End - x.First))
	}
	c.put(segmentKey(s.Number), e.b)
}

func (c *Changes) auditEntry(number uint64, a AuditEntry) {
	var e enc
	e.i64(a.At)
	e.str(a.What)
	c.put(auditKey(number), e.b)
}

// Loader makes a State of the pairs on disk: NewLoader, Pair for each, State.
type Loader struct {
	st       *State
	progress map[LaneID]*dec
	chunks   []loadedChunk
	facts    []loadedFact
	binding  bool
	n        int
}

type loadedChunk struct {
	lane LaneID
	key  uint64
	b    []byte
}

type loadedFact struct {
	lane   LaneID
	kind   byte
	from   Index
	number int32
}

// NewLoader begins a state from disk.
func NewLoader() *Loader { return &Loader{st: NewState(), progress: make(map[LaneID]*dec)} }

// Pair takes one pair. Pairs must be given in ascending order of their keys;
// key and value may be changed afterwards.
func (ld *Loader) Pair(key, value []byte) error {
	ld.n++
	if len(key) == 0 {
		return fmt.Errorf("%w: key without a letter", errValue)
	}
	k := dec{b: key[1:], what: fmt.Sprintf("key %q", key)}
	v := dec{b: append([]byte(nil), value...), what: fmt.Sprintf("value of key %q", key)}
	st := ld.st
	switch key[0] {
	case prefixBinding:
		ld.binding = true
		st.Binding = Binding{SpoolID: v.str(), Incarnation: v.u64(), MachineID: v.str(), LockInode: v.u64(), ClusterID: v.str(), Former: v.identity(), Stopped: v.str()}
	case prefixProgress:
		// Its lane comes later: 'l' is above 'c'.
		ld.progress[LaneID(k.be32())] = &v
		return k.done()
	case prefixDead:
		st.dead[deadRef{LaneID(k.be32()), Index(k.be64())}] = struct{}{}
		_, _ = decodeDeadLetter(&v)
	case prefixFact:
		ld.facts = append(ld.facts, loadedFact{LaneID(k.be32()), k.byte(), Index(k.be64()), v.i32()})
	case prefixSegment:
		info := decodeSegment(&v)
		info.Number = k.be64()
		st.segments[info.Number] = info
	case prefixLane:
		id := LaneID(k.be32())
		topic := v.str()
		var topicID protocol.TopicID
		copy(topicID[:], v.raw(len(topicID)))
		if _, double := st.byTopic[topic]; double || int(id) != len(st.lanes) {
			k.fail()
		} else {
			st.putLane(id, topic, topicID)
		}
	case prefixNote:
		st.notes[string(key[1:])] = []byte(v.str())
		k.b = nil
	case prefixPartition:
		p := PartitionState{Lane: LaneID(k.be32()), Partition: int32(k.be32())}
		p.Identity = v.identity()
		p.Next, p.Settled = protocol.Sequence(v.i32()), protocol.Sequence(v.i32())
		p.LastOffset, p.LastMaxTimestamp = protocol.Offset(v.i64()), v.i64()
		p.Park = Park{Reason: v.str(), Detail: v.str(), At: v.i64()}
		st.parts[partitionKey{p.Lane, p.Partition}] = p
	case prefixSeal:
		s := decodeSeal(&k, &v)
		st.seals[s.SealKey] = s
	case prefixAudit:
		n := k.be64()
		if st.audit == 0 {
			st.firstAudit = n
		}
		st.audit = n + 1
		v.i64()
		v.str()
	case prefixSettled:
		ld.chunks = append(ld.chunks, loadedChunk{LaneID(k.be32()), k.be64(), v.b})
		v.b = nil
	default:
		return fmt.Errorf("%w: key %q has an unknown letter", errValue, key)
	}
	if err := k.done(); err != nil {
		return err
	}
	return v.done()
}

// State is what was loaded, once everything in it fits together.
func (ld *Loader) State() (*State, error) {
	st := ld.st
	if !ld.binding {
		return nil, fmt.Errorf("%w: the binding is missing", errValue)
	}
	if len(ld.progress) != len(st.lanes) {
		return nil, fmt.Errorf("%w: %d lanes, but progress of %d", errValue, len(st.lanes), len(ld.progress))
	}
	for id, v := range ld.progress {
		l, err := ld.lane(id)
		if err != nil {
			return nil, err
		}
		l.end = Index(v.upTo(maxNumber))
		l.settled = NewSet(Index(v.upTo(uint64(l.end))))
		l.counters = Counters{v.u64(), v.u64(), v.u64(), v.u64()}
		if err := v.done(); err != nil {
			return nil, err
		}
		st.counters = st.counters.Add(l.counters)
	}
	for _, c := range ld.chunks {
		l, err := ld.lane(c.lane)
		if err != nil {
			return nil, err
		}
		if err := l.settled.loadChunk(c.key, c.b, l.end); err != nil {
			return nil, err
		}
		if l.stored == nil {
			l.stored = make(map[uint64]struct{})
		}
		l.stored[c.key] = struct{}{}
	}
	for _, f := range ld.facts {
		l, err := ld.lane(f.lane)
		if err != nil {
			return nil, err
		}
		switch f.kind {
		case factCount:
			l.facts.Counts = append(l.facts.Counts, CountFact{f.from, f.number})
		case factSticky:
			l.facts.Sticky = append(l.facts.Sticky, StickyFact{f.from, f.number})
		default:
			return nil, fmt.Errorf("%w: fact of kind %d", errValue, f.kind)
		}
	}
	for k, s := range st.seals {
		l, err := ld.lane(k.Lane)
		if err != nil {
			return nil, err
		}
		l.seals[k] = s
	}
	for k := range st.parts {
		if _, err := ld.lane(k.lane); err != nil {
			return nil, err
		}
	}
	for _, l := range st.lanes {
		if left := l.counters.Acked + l.counters.DeadLettered + l.counters.Expired; l.counters.Accepted != uint64(l.end) ||
			left != uint64(l.settled.CountIn(Span{0, l.end})) {
			return nil, fmt.Errorf("%w: counters of %q do not add up", errValue, l.topic)
		}
	}
	return st, nil
}

// Pairs is how many pairs were loaded.
func (ld *Loader) Pairs() int { return ld.n }

func (ld *Loader) lane(id LaneID) (*laneState, error) {
	if int(id) >= len(ld.st.lanes) {
		return nil, fmt.Errorf("%w: lane %d is missing", errValue, id)
	}
	return ld.st.lanes[id], nil
}

func decodeSegment(v *dec) SegmentInfo {
	s := SegmentInfo{Bytes: int64(v.upTo(maxNumber)), Blocks: v.u64(), Sum: Sum(v.fix64()), Keys: v.u64(), KeySum: Sum(v.fix64())}
	for range v.upTo(uint64(len(v.b))) {
		x := Extent{Lane: LaneID(v.upTo(math.MaxUint32))}
		x.First = Index(v.upTo(maxNumber))
		x.End = x.First + Index(v.upTo(maxNumber))
		s.Extents = append(s.Extents, x)
	}
	return s
}

func decodeSeal(k, v *dec) *Seal {
	s := &Seal{SealKey: SealKey{Lane: LaneID(k.be32()), Partition: int32(k.be32())}}
	s.Identity.ID = protocol.ProducerID(k.be64())
	s.Identity.Epoch = protocol.ProducerEpoch(k.be16())
	s.Base = protocol.Sequence(k.be32())
	s.Count = v.i32()
	s.Spans = v.spans()
	copy(s.TopicID[:], v.raw(len(s.TopicID)))
	s.MaxTimestamp, s.SealedAt, s.SealedAge = v.i64(), v.i64(), v.i64()
	s.Tail = protocol.Offset(v.i64())
	s.Ordinal = v.u64()
	s.Refused = protocol.ErrorCode(v.within(-1<<15, 1<<15-1))
	n := 0
	for _, sp := range s.Spans {
		n += sp.Len()
	}
	if n != int(s.Count) || n == 0 {
		v.fail()
	}
	return s
}

func decodeDeadLetter(v *dec) (DeadLetter, []byte) {
	d := DeadLetter{Partition: v.i32(), Code: protocol.ErrorCode(v.within(-1<<15, 1<<15-1)), Message: v.str(), Attempts: v.i32(), At: v.i64()}
	return d, []byte(v.str())
}

func (d *dec) be32() uint32 {
	if b := d.raw(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *dec) be64() uint64 {
	if b := d.raw(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *dec) be16() uint16 {
	if b := d.raw(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}
