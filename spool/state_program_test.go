package spool

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
)

// FuzzTheStateOnDiskIsTheStateInMemory reads its input as commits, each of lanes, entries, notes,
// segments and writes, and as starts between them.
//
// Law: after each commit the state says what a slow one says; the pairs on disk, loaded, make the same
// state, which goes on in its place; the head's count and checksum, kept change by change, are those
// of the pairs; and dead letters and the last thousand audit entries are on disk as they were given.
func FuzzTheStateOnDiskIsTheStateInMemory(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a lane, some entries, a seal, an ack: and a start, twice; then more of the same, to another topic"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<10 {
			return
		}
		c := &commits{t: t, p: program.New(script), st: NewState(), slow: newSlowState(), disk: map[string][]byte{}}
		c.st.Binding = Binding{SpoolID: "id", Incarnation: 1, MachineID: "m", LockInode: 7, Former: protocol.NoIdentity}
		c.slow.binding = c.st.Binding
		c.st.Rebind(&c.out)
		c.commit()
		for c.p.More() {
			for range 1 + c.p.Below(4) {
				c.change()
			}
			c.commit()
			if c.p.Below(4) == 0 {
				c.start()
			}
		}
		c.start()
		c.illegal()
	})
}

// illegal carries out a write that speaks of what does not exist: it must be refused. Nothing can
// be said of the state after it.
func (c *commits) illegal() {
	lane := LaneID(len(c.slow.lanes))
	nowhere := []Span{{0, 1}}
	list := []*Write{
		{Bindings: []LaneBinding{{Lane: lane}}}, {Facts: []LaneFacts{{Lane: lane}}}, {Seals: []Seal{{SealKey: SealKey{Lane: lane}, Count: 1, Spans: nowhere}}},
		{DeadLetters: []DeadLetter{{Lane: lane}}}, {Settle: []Settlement{{Lane: lane, Spans: nowhere, Outcome: OutcomeAcked}}}, {Partitions: []PartitionState{{Lane: lane}}},
	}
	if lane > 0 {
		id := lane - 1
		end := c.slow.lanes[id].end()
		beyond := []Span{{end, end + 1}}
		down := LaneFacts{id, Facts{[]CountFact{{1 << 40, 1}, {1, 1}}, nil}}
		list = append(list, &Write{Seals: []Seal{{SealKey: SealKey{Lane: id}, Count: 1, Spans: beyond}}}, &Write{Seals: []Seal{{SealKey: SealKey{Lane: id}}}},
			&Write{Settle: []Settlement{{Lane: id, Spans: beyond, Outcome: OutcomeAcked}}}, &Write{Settle: []Settlement{{Lane: id}}}, &Write{Settle: []Settlement{{Lane: id, Outcome: OutcomeLost + 1}}},
			&Write{Facts: []LaneFacts{down}}, &Write{Facts: []LaneFacts{{id, Facts{nil, []StickyFact{{1 << 40, 1}, {1, 1}}}}}})
	}
	w := list[c.p.Below(len(list))]
	if err := c.st.Apply(w, &c.out); err == nil {
		c.t.Fatalf("%+v is carried out", w)
	}
}

// commits is a state, the same slowly, and the pairs on disk.
type commits struct {
	t    *testing.T
	p    *program.Program
	st   *State
	slow *slowState
	out  Changes
	disk map[string][]byte
	head Head
	at   uint64 // ordinal of the last seal
}

func (c *commits) change() {
	lanes := len(c.slow.lanes)
	op := c.p.Below(12)
	if lanes == 0 {
		op = 0
	}
	switch op {
	case 0:
		c.addLane()
	case 1, 2:
		c.append(LaneID(c.p.Below(lanes)), c.p.Below(40))
	case 3:
		c.append(LaneID(c.p.Below(lanes)), c.p.Below(3*chunkBits))
	case 4:
		name, value := string(c.p.Bytes(3)), c.p.Bytes(20)
		c.st.PutNote(name, value, &c.out)
		if delete(c.slow.notes, name); value != nil {
			c.slow.notes[name] = string(value)
		}
	case 5:
		c.segment()
	case 6:
		c.clearDead()
	default:
		w := c.write()
		if err := c.st.Apply(w, &c.out); err != nil {
			c.t.Fatalf("%+v: %v", w, err)
		}
		c.slow.apply(w)
	}
}

func (c *commits) addLane() {
	topic := string(c.p.Bytes(2))
	id := LaneID(len(c.slow.lanes))
	err := c.st.AddLane(NewLane{id, topic}, &c.out)
	double := slices.ContainsFunc(c.slow.lanes, func(l *slowLane) bool { return l.topic == topic })
	if double != (err != nil) {
		c.t.Fatalf("a lane for %q: %v", topic, err)
	}
	if err == nil {
		c.slow.lanes = append(c.slow.lanes, &slowLane{topic: topic})
	}
}

func (c *commits) append(id LaneID, n int) {
	l := c.slow.lanes[id]
	if l.end() > 4*chunkBits {
		return // no law depends on more
	}
	c.st.Append(id, n)
	l.left = append(l.left, make([]Outcome, n)...)
}

func (c *commits) segment() {
	number := uint64(c.p.Below(6))
	if c.p.Yes() {
		c.st.DropSegment(number, &c.out)
		delete(c.slow.segments, number)
		return
	}
	info := SegmentInfo{Number: number, Bytes: c.p.Int64() & maxNumber, Blocks: uint64(c.p.Byte()), Sum: Sum(c.p.Int64()), Keys: uint64(c.p.Byte()), KeySum: Sum(c.p.Int64()), Damaged: c.p.Yes()}
	for lane := range c.p.Below(4) {
		first := Index(c.p.Below(300))
		info.Extents = append(info.Extents, Extent{LaneID(lane), Span{first, first + Index(c.p.Below(300))}})
	}
	c.st.PutSegment(info, &c.out)
	c.slow.segments[number] = info
}

// write makes one up that speaks only of what exists.
func (c *commits) write() *Write {
	w := &Write{}
	id := LaneID(c.p.Below(len(c.slow.lanes)))
	l := c.slow.lanes[id]
	for range 1 + c.p.Below(3) {
		switch c.p.Below(12) {
		case 0:
			w.ClusterID = string(c.p.Bytes(3))
		case 1:
			w.Identity = &Identity{ID: protocol.ProducerID(c.p.Below(300)), Epoch: protocol.ProducerEpoch(c.p.Below(4))}
		case 2:
			w.Stop, w.ClearStop = string(c.p.Bytes(3)), c.p.Yes()
		case 3:
			w.Bindings = append(w.Bindings, LaneBinding{Lane: id, TopicID: protocol.TopicID{c.p.Byte()}, ResetFacts: c.p.Yes()})
		case 4:
			c.facts(w, id)
		case 5:
			w.Unseal = append(w.Unseal, c.sealKey(id))
		case 6, 7:
			c.seal(w, id)
		case 8:
			c.deadLetter(w, id)
		case 9, 10:
			spans := c.spans(l, func(Index) bool { return true })
			w.Settle = append(w.Settle, Settlement{Lane: id, Spans: spans, Outcome: OutcomeAcked + Outcome(c.p.Below(4))})
		case 11:
			c.partition(w, id)
		}
	}
	return w
}

// facts begin at or above the last one, unless the same write forgets all of them.
func (c *commits) facts(w *Write, id LaneID) {
	l := c.slow.lanes[id]
	from := Index(0)
	if n := len(l.counts); n > 0 {
		from = l.counts[n-1].From
	}
	if n := len(l.sticky); n > 0 {
		from = max(from, l.sticky[n-1].From)
	}
	f := LaneFacts{Lane: id}
	for _, before := range w.Facts {
		if before.Lane == id {
			return // once in a write
		}
	}
	for range c.p.Below(3) {
		from += Index(c.p.Below(50))
		f.Counts = append(f.Counts, CountFact{from, int32(c.p.Below(300))})
	}
	for range c.p.Below(3) {
		from += Index(c.p.Below(50))
		f.Sticky = append(f.Sticky, StickyFact{from, int32(c.p.Below(300))})
	}
	w.Facts = append(w.Facts, f)
}

func (c *commits) sealKey(id LaneID) SealKey {
	k := SealKey{Lane: id, Partition: int32(c.p.Below(2)), Identity: Identity{ID: protocol.ProducerID(c.p.Below(2))}}
	if c.p.Yes() {
		k.Identity.Epoch, k.Base = protocol.MaxProducerEpoch, 1<<31-1
	}
	return k
}

// seal holds entries that have not left; it may be put again.
func (c *commits) seal(w *Write, id LaneID) {
	l := c.slow.lanes[id]
	here := func(i Index) bool { return l.left[i] == 0 }
	c.at++
	s := Seal{
		SealKey: c.sealKey(id), Spans: c.spans(l, here), TopicID: protocol.TopicID{c.p.Byte()}, MaxTimestamp: c.p.Int64(),
		SealedAt: c.p.Int64(), SealedAge: c.p.Int64(), Tail: protocol.Offset(c.p.Int64()), Ordinal: c.at, Refused: protocol.ErrorCode(int16(c.p.Int64())),
	}
	for _, sp := range s.Spans {
		s.Count += int32(sp.Len())
	}
	if s.Count > 0 {
		w.Seals = append(w.Seals, s)
	}
}

// spans are up to four runs of entries of l that are wanted, ascending; two may touch.
func (c *commits) spans(l *slowLane, want func(Index) bool) []Span {
	var out []Span
	at := Index(c.p.Below(len(l.left) + 1))
	for range 1 + c.p.Below(4) {
		for at < l.end() && !want(at) {
			at++
		}
		n := 1 + c.p.Below(12)
		if c.p.Below(16) == 15 {
			n = c.p.Below(2 * chunkBits)
		}
		end := at
		for end < l.end() && n > 0 && want(end) {
			end, n = end+1, n-1
		}
		if end > at {
			out = append(out, Span{at, end})
		}
		at = end + Index(c.p.Below(3))
	}
	return out
}

// clearDead gives up a dead letter, or tries to where there is none.
func (c *commits) clearDead() {
	ref := deadRef{LaneID(c.p.Below(len(c.slow.lanes))), Index(c.p.Below(3 * chunkBits))}
	if l := c.slow.lanes[ref.lane]; len(l.left) > 0 && c.p.Below(4) > 0 {
		for i := range l.left { // the first one, if there is one
			if c.slow.dead[deadRef{ref.lane, Index(i)}] {
				ref.index = Index(i)
				break
			}
		}
	}
	_, was := c.slow.dead[ref]
	if got := c.st.ClearDead(ref.lane, ref.index); got != was {
		c.t.Fatalf("dead letter %v is given up: %v, want %v", ref, got, was)
	}
	delete(c.slow.dead, ref)
}

// deadLetter moves one entry, and settles it in the same write. One that has left in another way becomes no dead letter.
func (c *commits) deadLetter(w *Write, id LaneID) {
	l := c.slow.lanes[id]
	if len(l.left) == 0 {
		return
	}
	i := Index(c.p.Below(len(l.left)))
	settled := func(s Settlement) bool {
		return slices.ContainsFunc(s.Spans, func(sp Span) bool { return sp.First <= i && i < sp.End })
	}
	if l.left[i] != 0 || slices.ContainsFunc(w.Settle, settled) {
		return
	}
	w.DeadLetters = append(w.DeadLetters, DeadLetter{id, i, c.p.Int32(), protocol.ErrorCode(int16(c.p.Int64())), string(c.p.Bytes(9)), c.p.Int32(), c.p.Int64(), false})
	w.Settle = append(w.Settle, Settlement{Lane: id, Spans: []Span{{i, i + 1}}, Outcome: OutcomeDeadLettered})
}

func (c *commits) partition(w *Write, id LaneID) {
	w.Partitions = append(w.Partitions, PartitionState{
		Lane: id, Partition: int32(c.p.Below(3)), Identity: Identity{ID: protocol.ProducerID(c.p.Below(9) - 1), Epoch: protocol.ProducerEpoch(c.p.Below(3))},
		Next: protocol.Sequence(c.p.Int32()), Settled: protocol.Sequence(c.p.Int32()), LastOffset: protocol.Offset(c.p.Int64()), LastMaxTimestamp: c.p.Int64(),
		Park: Park{string(c.p.Bytes(2)), string(c.p.Bytes(2)), c.p.Int64()},
	})
	n := c.p.Below(4)
	if n == 3 {
		n = 400 // the first are to be forgotten
	}
	for range n {
		w.Audit = append(w.Audit, AuditEntry{c.p.Int64(), string(c.p.Bytes(3))})
	}
}

// commit puts the changes on disk, as spool/bolt does, and compares.
func (c *commits) commit() {
	c.st.Flush(&c.out)
	for _, kv := range c.out.List {
		if old, ok := c.disk[string(kv.Key)]; ok {
			c.head.PairSum.Toggle(kv.Key, old)
			c.head.Pairs--
			delete(c.disk, string(kv.Key))
		}
		if kv.Value != nil {
			c.head.PairSum.Toggle(kv.Key, kv.Value)
			c.head.Pairs++
			c.disk[string(kv.Key)] = bytes.Clone(kv.Value)
		}
	}
	c.out = Changes{}
	var sum Sum
	for k, v := range c.disk {
		sum.Toggle([]byte(k), v)
	}
	if sum != c.head.PairSum || int(c.head.Pairs) != len(c.disk) {
		c.t.Fatalf("the head counts %d pairs with sum %x, there are %d with %x", c.head.Pairs, c.head.PairSum, len(c.disk), sum)
	}
	if err := c.slow.compare(c.st); err != nil {
		c.t.Fatalf("after a commit: %v", err)
	}
}

// start goes on with what is on disk.
func (c *commits) start() {
	st, err := load(c.disk)
	if err == nil {
		err = c.slow.compare(st)
	}
	if err == nil {
		err = c.records()
	}
	if err != nil {
		c.t.Fatalf("after a start: %v", err)
	}
	c.st = st
}

// records compares what only people read: the audit.
func (c *commits) records() error {
	audit := []AuditEntry{}
	for _, k := range sortedKeys(c.disk) {
		v := dec{b: c.disk[k], what: k}
		switch k[0] {
		case prefixAudit:
			audit = append(audit, AuditEntry{v.i64(), v.str()})
		}
	}
	want := c.slow.audit
	want = want[max(0, len(want)-maxAudit):]
	if !slices.Equal(audit, want) {
		return fmt.Errorf("audit of %d entries, want the last %d", len(audit), len(want))
	}
	return nil
}
