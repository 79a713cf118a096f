package spool

import (
	"encoding/binary"
	"math"
)

// The state on disk is pairs. A key is a letter and fixed-width big-endian
// numbers; a value is fields as enc writes them. FORMAT.md lists all of them.
const (
	prefixAges      = 'a' // lane: since when entries wait
	prefixBinding   = 'b'
	prefixProgress  = 'c' // lane: end, low, counters
	prefixDead      = 'd' // lane, index: dead letter and its entry; format version 1
	prefixFact      = 'f' // lane, kind, from: number
	prefixSegment   = 'g' // segment number
	prefixLane      = 'l' // lane: topic, topic id
	prefixNote      = 'n' // name
	prefixPartition = 'p' // lane, partition
	prefixSeal      = 's' // lane, partition, producer id, epoch, base
	prefixAudit     = 'u' // number
	prefixUnit      = 'w' // unit: its runs; see staged.go
	prefixMissing   = 'm' // lane: spans
	prefixOutcome   = 'o' // lane, outcome, chunk: which entries left so, without an ack
	prefixGap       = 'q' // number
	prefixDeadChunk = 'x' // lane, chunk: which entries are dead letters
	prefixSerial    = 'y' // the last dead letter's number
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

func (c *Changes) delete(key []byte) { c.List = append(c.List, KV{key, nil}) }

// Bytes is how much the changes hold, roughly what they take on disk.
func (c *Changes) Bytes() int {
	n := 0
	for i := range c.List {
		n += len(c.List[i].Key) + len(c.List[i].Value) + 32
	}
	return n
}

func key32(prefix byte, lane LaneID) []byte {
	const most = 1 + 4 + 4 + 8 + 2 + 4 // a seal's
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, most), prefix), uint32(lane))
}

func laneKey(id LaneID) []byte { return key32(prefixLane, id) }

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
	e := newEnc()
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
	e := newEnc()
	e.str(l.topic)
	e.raw(l.topicID[:])
	c.put(laneKey(l.id), e.b)
}

func (c *Changes) progress(l *laneState) {
	e := newEnc()
	e.u64(uint64(l.end))
	e.u64(uint64(l.settled.Low()))
	e.u64(l.counters.Accepted)
	e.u64(l.counters.Acked)
	e.u64(l.counters.DeadLettered)
	e.u64(l.counters.Expired)
	e.u64(l.counters.Lost)
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
		e := newEnc()
		e.i64(int64(x.Count))
		c.put(factKey(id, factCount, x.From), e.b)
	}
	for _, x := range f.Sticky {
		e := newEnc()
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
	e := newEnc()
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
	e := newEnc()
	e.identity(p.Identity)
	e.i64(int64(p.Next))
	e.i64(int64(p.Settled))
	e.i64(int64(p.LastOffset))
	e.i64(p.LastMaxTimestamp)
	e.str(p.Park.Reason)
	e.str(p.Park.Detail)
	e.i64(p.Park.At)
	e.i64(int64(p.LeaderEpoch))
	c.put(partitionStateKey(p.Lane, p.Partition), e.b)
}

func (c *Changes) note(name string, value []byte) {
	if value == nil {
		c.delete(noteKey(name))
		return
	}
	e := newEnc()
	e.str(string(value))
	c.put(noteKey(name), e.b)
}

func (c *Changes) segment(s SegmentInfo) {
	e := newEnc()
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
	if s.Damaged {
		e.byte(1)
	}
	c.put(segmentKey(s.Number), e.b)
}

func (c *Changes) auditEntry(number uint64, a AuditEntry) {
	e := newEnc()
	e.i64(a.At)
	e.str(a.What)
	c.put(auditKey(number), e.b)
}

func gapKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{prefixGap}, number) }

func outcomeKey(id LaneID, o Outcome, chunk uint64) []byte {
	return binary.BigEndian.AppendUint64(append(key32(prefixOutcome, id), byte(o)), chunk)
}

func (c *Changes) gap(number uint64, g *Gap) {
	e := newEnc()
	e.u64(uint64(g.Lane))
	e.u64(uint64(g.First))
	e.u64(uint64(g.Len()))
	e.i64(int64(g.Partition))
	e.byte(byte(g.Outcome))
	e.i64(g.At)
	e.str(g.Why)
	c.put(gapKey(number), e.b)
}

func decodeGap(v *dec) (g Gap) {
	g.Lane, g.First = LaneID(v.upTo(math.MaxUint32)), Index(v.upTo(maxNumber))
	g.End = g.First + Index(v.upTo(maxNumber))
	g.Partition, g.Outcome, g.At, g.Why = v.i32(), Outcome(v.byte()), v.i64(), v.str()
	if g.First == g.End || g.Outcome != OutcomeExpired && g.Outcome != OutcomeLost {
		v.fail()
	}
	return g
}

func (c *Changes) missing(l *laneState) {
	key := key32(prefixMissing, l.id)
	if len(l.missing) == 0 {
		c.delete(key)
		return
	}
	e := newEnc()
	e.spans(l.missing)
	c.put(key, e.b)
}
