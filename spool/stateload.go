package spool

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// Loader makes a State of the pairs on disk: NewLoader, Pair for each, State.
type Loader struct {
	st       *State
	progress map[LaneID]*dec
	chunks   []loadedChunk
	dead     []loadedChunk
	missing  map[LaneID][]Span
	ages     map[LaneID][]AgeMark
	outcomes []loadedOutcome
	facts    []loadedFact
	binding  bool
	n        int
}

type loadedChunk struct {
	lane LaneID
	key  uint64
	b    []byte
}

type loadedOutcome struct {
	loadedChunk
	outcome Outcome
}

type loadedFact struct {
	lane   LaneID
	kind   byte
	from   Index
	number int32
}

// NewLoader begins a state from disk.
func NewLoader() *Loader {
	return &Loader{st: NewState(), progress: make(map[LaneID]*dec), missing: make(map[LaneID][]Span), ages: make(map[LaneID][]AgeMark)}
}

// Pair takes one pair. Pairs must be given in ascending order of their keys;
// key and value may be changed afterwards.
func (ld *Loader) Pair(key, value []byte) error {
	ld.n++
	if len(key) == 0 {
		return fmt.Errorf("%w: key without a letter", errValue)
	}
	kept := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	key, value = kept[:len(key):len(key)], kept[len(key):]
	k := dec{b: key[1:], what: "key", key: key}
	v := dec{b: value, what: "value of key", key: key}
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
		st.legacy[deadRef{LaneID(k.be32()), Index(k.be64())}] = struct{}{}
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
		if len(v.b) > 0 { // else it was written before there was one
			p.LeaderEpoch = v.i32()
		}
		st.parts[partitionKey{p.Lane, p.Partition}] = p
	case prefixSeal:
		s := decodeSeal(&k, &v)
		st.seals[s.SealKey] = s
	case prefixTransaction:
		st.txn = decodeTransaction(&v)
	case prefixUnit:
		st.units[k.be64()] = decodeUnit(&v)
	case prefixAudit:
		n := k.be64()
		if st.audit == 0 {
			st.firstAudit = n
		}
		st.audit = n + 1
		v.i64()
		st.sizeAudit(v.str())
	case prefixDeadChunk:
		ld.dead = append(ld.dead, loadedChunk{LaneID(k.be32()), k.be64(), v.b})
		v.b = nil
	case prefixAges:
		ld.ages[LaneID(k.be32())] = decodeAges(&v)
	case prefixMissing:
		ld.missing[LaneID(k.be32())] = v.spans()
	case prefixOutcome:
		c := loadedOutcome{loadedChunk: loadedChunk{lane: LaneID(k.be32())}, outcome: Outcome(k.byte())}
		c.key, c.b, v.b = k.be64(), v.b, nil
		ld.outcomes = append(ld.outcomes, c)
	case prefixGap:
		n := k.be64()
		if len(st.gaps) == 0 {
			st.firstGap = n
		}
		if n != st.firstGap+uint64(len(st.gaps)) {
			k.fail()
		}
		g := decodeGap(&v)
		st.gaps = append(st.gaps, g)
		st.gapBytes += g.room()
	case prefixSerial:
		st.serial = v.u64()
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
	for _, id := range slices.Sorted(maps.Keys(ld.progress)) {
		v := ld.progress[id]
		l, err := ld.lane(id)
		if err != nil {
			return nil, err
		}
		l.end = Index(v.upTo(maxNumber))
		l.settled = NewSet(Index(v.upTo(uint64(l.end))))
		l.counters = Counters{Accepted: v.u64(), Acked: v.u64(), DeadLettered: v.u64(), Expired: v.u64()}
		if len(v.b) > 0 { // else it was written before any could be lost
			l.counters.Lost = v.u64()
		}
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
	for _, c := range ld.dead {
		l, err := ld.lane(c.lane)
		if err == nil {
			err = st.loadDead(l, c.key, c.b)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := ld.otherwise(); err != nil {
		return nil, err
	}
	if err := ld.putAges(); err != nil {
		return nil, err
	}
	for ref := range st.legacy {
		if _, err := ld.lane(ref.lane); err != nil {
			return nil, err
		}
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
	for _, x := range st.txn.cuts() {
		if l, err := ld.lane(x.Lane); err != nil {
			return nil, err
		} else if x.End > l.end {
			return nil, fmt.Errorf("%w: decision over %v of %q, which ends at %d", errValue, x.Span, l.topic, l.end)
		}
	}
	if err := ld.checkUnits(); err != nil {
		return nil, err
	}
	for _, l := range st.lanes {
		if left := l.counters.left(); l.counters.Accepted != uint64(l.end) ||
			left != uint64(l.settled.CountIn(Span{0, l.end})) {
			return nil, fmt.Errorf("%w: counters of %q do not add up", errValue, l.topic)
		}
	}
	return st, nil
}

// otherwise puts in what became of entries that were not delivered.
func (ld *Loader) otherwise() error {
	for id, spans := range ld.missing {
		l, err := ld.lane(id)
		if err != nil {
			return err
		}
		for _, sp := range spans {
			if sp.End > l.end || l.settled.CountIn(sp) != 0 {
				return fmt.Errorf("%w: entries %v of %q are missing, but are settled or above its end", errValue, sp, l.topic)
			}
		}
		l.missing = spans
	}
	for _, c := range ld.outcomes {
		l, err := ld.lane(c.lane)
		if err != nil {
			return err
		}
		bits, ok := decodeChunk(c.b)
		if !ok || c.outcome < OutcomeDeadLettered || c.outcome > OutcomeLost || c.key > uint64(l.end)>>chunkShift {
			return fmt.Errorf("%w: outcomes %d of %q", errValue, c.key, l.topic)
		}
		if l.otherwise == nil {
			l.otherwise, l.dirtyOther = make(map[Outcome]deadSet), make(map[outcomeChunk]struct{})
		}
		if l.otherwise[c.outcome] == nil {
			l.otherwise[c.outcome] = make(deadSet)
		}
		l.otherwise[c.outcome][c.key] = &bits
	}
	for i := range ld.st.gaps {
		if g := &ld.st.gaps[i]; int(g.Lane) >= len(ld.st.lanes) || g.End > ld.st.lanes[g.Lane].end {
			return fmt.Errorf("%w: gap %v of lane %d", errValue, g.Span, g.Lane)
		}
	}
	return nil
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
	if len(v.b) > 0 {
		if s.Damaged = v.byte() == 1; !s.Damaged {
			v.fail()
		}
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
