package spool

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// KeyDigest stands for an idempotency key and its scope.
type KeyDigest [16]byte

// KeyRun is a run of a keyed batch's entries in one lane.
type KeyRun struct {
	Lane  LaneID
	First Index
	Count int
}

// KeyRecord is one idempotency key: what it was sent with, when, and where the
// entries are. A batch's entries of one lane are one run, as they were
// appended under one lock; runs stand in the order of the lanes' first entries in the batch.
type KeyRecord struct {
	Digest KeyDigest
	Body   uint64 // digest of the batch: a repeat must have the same
	Age    int64  // spool clock, ms, when it was first seen
	Runs   []KeyRun
}

// KeyBlock is the keys of one commit, on disk as one value.
type KeyBlock struct {
	Number  uint64 // of the commit; 0 while it is not made
	Segment uint64
	Live    int  // keys of it in the index
	emptied bool // it is among the index' emptied
}

// KeyVerdict is what KeyIndex says about a key.
type KeyVerdict uint8

// Verdicts.
const (
	KeyNew    KeyVerdict = iota // not seen inside the window
	KeyRepeat                   // seen, with the same body
	KeyReused                   // seen, with another body
	KeyNoRoom                   // not seen, and no room: the oldest key is too young to be forgotten
)

// KeyRule is the window in which a repeat is recognised.
type KeyRule struct {
	Window int64 // ms: older keys are forgotten
	Floor  int64 // ms: younger ones never are
	Max    int   // keys; more are refused, or push out the oldest that is older than Floor
}

// KeyIndex finds idempotency keys. Look-up and Add must happen under one lock,
// together with the append, so that two requests with one key can never both be
// new. Not safe for concurrent use.
type KeyIndex struct {
	rule  KeyRule
	queue keyQueue
	place map[KeyDigest]uint64   // in queue
	more  map[KeyDigest][]KeyRun // the runs behind the first, of batches for several topics
	// emptied are blocks whose last key was forgotten, until taken. A key may be
	// added to such a block after all, while its commit is not made.
	emptied []*KeyBlock
}

// NewKeyIndex is an index without keys.
func NewKeyIndex(rule KeyRule) *KeyIndex {
	return &KeyIndex{rule: rule, place: make(map[KeyDigest]uint64), more: make(map[KeyDigest][]KeyRun)}
}

// KeyHit is what is known of a key: where the first request's entries are, and the
// block that it is in.
type KeyHit struct {
	Runs  []KeyRun
	Block *KeyBlock
}

// Find looks a key up. now is the spool clock. The hit is that of a repeat.
func (x *KeyIndex) Find(digest KeyDigest, body uint64, now int64) (KeyHit, KeyVerdict) {
	if place, ok := x.place[digest]; ok {
		e := x.queue.at(place)
		switch {
		case now-e.age >= x.rule.Window:
			// Forgotten in time, if not yet in fact.
		case e.body != body:
			return KeyHit{}, KeyReused
		default:
			return KeyHit{x.runs(e), e.block}, KeyRepeat
		}
	}
	x.Expire(now)
	if x.Len() >= x.rule.Max && now-x.OldestAge(now) < x.rule.Floor {
		return KeyHit{}, KeyNoRoom
	}
	return KeyHit{}, KeyNew
}

// SetMax changes how many keys are known. If they are more, the oldest are forgotten as new ones come, but none that is younger than
// the floor.
func (x *KeyIndex) SetMax(n int) { x.rule.Max = n }

// Add puts a key in that Find called new. Ages must not fall. The index may
// keep rec.Runs.
func (x *KeyIndex) Add(rec KeyRecord, block *KeyBlock) {
	for x.Len() >= x.rule.Max && x.Len() > 0 && rec.Age-x.OldestAge(rec.Age) >= x.rule.Floor {
		x.forgetOldest()
	}
	x.put(rec, block)
}

// FoundKey is a key as a start finds it on disk.
type FoundKey struct {
	KeyRecord
	Block *KeyBlock
}

// Load fills an empty index with what a start found, which it sorts. A key that was sent again
// after it had been forgotten may be there twice, for the older record stays in its block until
// that is emptied or carried: the younger one counts. Blocks without a key that counts are emptied.
func (x *KeyIndex) Load(found []FoundKey, now int64) {
	slices.Reverse(found) // in a block the younger ones stand behind the older ones
	slices.SortStableFunc(found, func(a, b FoundKey) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(b.Block.Number, a.Block.Number))
	})
	var count []int // from the youngest on
	for i := range found {
		f := &found[i]
		_, known := x.place[f.Digest]
		if !known && len(count) < x.rule.Max && now-f.Age < x.rule.Window {
			x.place[f.Digest] = 0 // known, and placed below
			count = append(count, i)
		}
	}
	for _, i := range slices.Backward(count) {
		x.put(found[i].KeyRecord, found[i].Block)
	}
	for i := range found {
		x.empty(found[i].Block)
	}
}

func (x *KeyIndex) put(rec KeyRecord, block *KeyBlock) {
	e := keyEntry{digest: rec.Digest, body: rec.Body, age: rec.Age, block: block}
	if len(rec.Runs) > 0 {
		r := rec.Runs[0]
		e.lane, e.first, e.count = r.Lane, r.First, int32(r.Count)
	}
	if len(rec.Runs) > 1 {
		x.more[rec.Digest] = rec.Runs[1:]
	}
	x.place[rec.Digest] = x.queue.push(e)
	block.Live++
}

// Expire forgets the keys that are older than the window.
func (x *KeyIndex) Expire(now int64) {
	for x.Len() > 0 && now-x.queue.at(x.queue.first).age >= x.rule.Window {
		x.forgetOldest()
	}
}

func (x *KeyIndex) forgetOldest() {
	e := x.queue.pop()
	delete(x.place, e.digest)
	delete(x.more, e.digest)
	e.block.Live--
	x.empty(e.block)
}

// empty notes a block whose last key is gone, once.
func (x *KeyIndex) empty(b *KeyBlock) {
	if b.Live == 0 && !b.emptied {
		b.emptied = true
		x.emptied = append(x.emptied, b)
	}
}

// TakeEmptied gives the blocks whose last key was forgotten since the last call: none of
// their keys is needed any more. One whose commit is not made yet is not on the disk, and is given by a later call.
func (x *KeyIndex) TakeEmptied() []*KeyBlock {
	e := x.emptied
	x.emptied = nil
	var taken []*KeyBlock
	for _, b := range e {
		switch {
		case b.Live > 0:
			b.emptied = false
		case b.Number == 0:
			x.emptied = append(x.emptied, b)
		default:
			b.emptied = false
			taken = append(taken, b)
		}
	}
	return taken
}

// Len is how many keys there are.
func (x *KeyIndex) Len() int { return x.queue.len() }

// OldestAge is the age, on the spool clock, at which the oldest key was first
// seen, or now if there is none.
func (x *KeyIndex) OldestAge(now int64) int64 {
	if x.Len() == 0 {
		return now
	}
	return x.queue.at(x.queue.first).age
}

// Carry gives all keys that are kept in a segment and homes them in block.
func (x *KeyIndex) Carry(segment uint64, block *KeyBlock) []KeyRecord {
	var out []KeyRecord
	for place := x.queue.first; place < x.queue.end; place++ {
		e := x.queue.at(place)
		if e.block.Segment != segment {
			continue
		}
		out = append(out, x.record(e))
		e.block.Live--
		e.block = block
		block.Live++
	}
	return out
}

func (x *KeyIndex) record(e *keyEntry) KeyRecord {
	return KeyRecord{Digest: e.digest, Body: e.body, Age: e.age, Runs: x.runs(e)}
}

func (x *KeyIndex) runs(e *keyEntry) []KeyRun {
	if e.count == 0 {
		return nil
	}
	return append([]KeyRun{{e.lane, e.first, int(e.count)}}, x.more[e.digest]...)
}

// Lowest says, by lane, which entry is the first that a key speaks of. It looks at all keys.
func (x *KeyIndex) Lowest() map[LaneID]Index {
	low := make(map[LaneID]Index)
	for place := x.queue.first; place < x.queue.end; place++ {
		e := x.queue.at(place)
		for _, r := range x.runs(e) {
			if first, ok := low[r.Lane]; !ok || r.First < first {
				low[r.Lane] = r.First
			}
		}
	}
	return low
}

// Hold says that a block holds something else that is needed: a dead letter's mark.
func (x *KeyIndex) Hold(b *KeyBlock) { b.Live++ }

// Release takes a Hold back.
func (x *KeyIndex) Release(b *KeyBlock) {
	b.Live--
	x.empty(b)
}

// Versions of a block of keys. The first had no marks.
const (
	keyBlockVersion = 2
	keysWithoutMark = 1
)

// EncodeKeys makes the value of a block of keys, and of dead letters' marks.
func EncodeKeys(number uint64, keys []KeyRecord, marks []Mark) []byte {
	var e enc
	e.byte(keyBlockVersion)
	e.u64(uint64(len(keys)))
	for i := range keys {
		k := &keys[i]
		e.raw(k.Digest[:])
		e.fix64(k.Body)
		e.u64(uint64(k.Age))
		e.u64(uint64(len(k.Runs)))
		for _, r := range k.Runs {
			e.u64(uint64(r.Lane))
			e.u64(uint64(r.First))
			e.u64(uint64(r.Count))
		}
	}
	e.u64(uint64(len(marks)))
	for i := range marks {
		e.mark(&marks[i])
	}
	e.fix32(keysCRC(number, e.b))
	return e.b
}

func (e *enc) mark(m *Mark) {
	e.u64(uint64(m.Lane))
	e.u64(uint64(m.Index))
	e.u64(m.Serial)
	e.i64(int64(m.Partition))
	e.i64(int64(m.Code))
	e.str(m.Message)
	e.i64(int64(m.Attempts))
	e.i64(m.At)
	e.u64(uint64(m.Bytes))
	doubt := byte(0)
	if m.InDoubt {
		doubt = 1
	}
	e.byte(doubt)
}

func (d *dec) mark() (m Mark) {
	m.Lane, m.Index, m.Serial = LaneID(d.upTo(1<<32-1)), Index(d.upTo(maxNumber)), d.u64()
	m.Partition, m.Code, m.Message = d.i32(), protocol.ErrorCode(d.within(-1<<15, 1<<15-1)), d.str()
	m.Attempts, m.At, m.Bytes = d.i32(), d.i64(), int64(d.upTo(maxNumber))
	doubt := d.byte()
	if doubt > 1 {
		d.fail()
	}
	m.InDoubt = doubt == 1
	return m
}

// DecodeKeys reads what EncodeKeys made.
func DecodeKeys(number uint64, b []byte) ([]KeyRecord, []Mark, error) {
	if len(b) < 6 || keysCRC(number, b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, nil, fmt.Errorf("%w: checksum of a block of idempotency keys", errBlock)
	}
	d := dec{b: b[:len(b)-4], what: "block of idempotency keys"}
	version := d.byte()
	if version != keyBlockVersion && version != keysWithoutMark {
		return nil, nil, fmt.Errorf("%w: idempotency keys of version %d, this program reads %d", errBlock, version, keyBlockVersion)
	}
	n := d.upTo(uint64(len(d.b)) / 26)
	keys := make([]KeyRecord, 0, n)
	for range n {
		var k KeyRecord
		copy(k.Digest[:], d.raw(len(k.Digest)))
		k.Body = d.fix64()
		k.Age = int64(d.upTo(maxNumber))
		for range d.upTo(uint64(len(d.b)) / 3) {
			k.Runs = append(k.Runs, KeyRun{LaneID(d.upTo(1<<32 - 1)), Index(d.upTo(maxNumber)), int(d.upTo(1<<31 - 1))})
		}
		keys = append(keys, k)
	}
	var marks []Mark
	if version == keyBlockVersion {
		n := d.upTo(uint64(len(d.b)) / 10)
		for range n {
			marks = append(marks, d.mark())
		}
	}
	return keys, marks, d.done()
}

func keysCRC(number uint64, b []byte) uint32 {
	var name [8]byte
	binary.BigEndian.PutUint64(name[:], number)
	return update(CRC(name[:]), b)
}
