package spool

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/spoold/spoold/integration/program"
)

// slowKeys is the rule in its simplest form.
type slowKeys struct {
	rule KeyRule
	list []KeyRecord // by age
}

func (m *slowKeys) expire(now int64) {
	for len(m.list) > 0 && now-m.list[0].Age >= m.rule.Window {
		m.list = m.list[1:]
	}
}

func (m *slowKeys) record(d KeyDigest) *KeyRecord {
	for i := range m.list {
		if m.list[i].Digest == d {
			return &m.list[i]
		}
	}
	return nil
}

func (m *slowKeys) add(rec KeyRecord) {
	if m.list = append(m.list, rec); len(m.list) > m.rule.Max {
		m.list = m.list[1:]
	}
}

func (m *slowKeys) find(d KeyDigest, body uint64, now int64) KeyVerdict {
	m.expire(now)
	for _, k := range m.list {
		if k.Digest == d && k.Body == body {
			return KeyRepeat
		} else if k.Digest == d {
			return KeyReused
		}
	}
	if len(m.list) >= m.rule.Max && now-m.list[0].Age < m.rule.Floor {
		return KeyNoRoom
	}
	return KeyNew
}

func TestKeyIndexFollowsTheRule(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		rule := KeyRule{Window: 1000, Floor: 100, Max: 1 + rng.IntN(20)}
		x, m := NewKeyIndex(rule), &slowKeys{rule: rule}
		now := int64(0)
		blocks := map[*KeyBlock]bool{}
		for range 300 {
			now += int64(rng.IntN(1 << rng.IntN(9)))
			d, body := KeyDigest{byte(rng.IntN(40))}, uint64(rng.IntN(2))
			hit, got := x.Find(d, body, now)
			if want := m.find(d, body, now); got != want {
				t.Fatalf("at %d: key %d: %d, want %d", now, d[0], got, want)
			}
			if got == KeyRepeat && (len(hit.Runs) != 1 || hit.Runs[0].First != Index(d[0])) {
				t.Fatalf("key %d was found at %+v", d[0], hit.Runs)
			}
			if got != KeyNew {
				continue
			}
			b := &KeyBlock{Number: uint64(now), Segment: uint64(rng.IntN(3))}
			rec := KeyRecord{Digest: d, Body: body, Age: now, Runs: []KeyRun{{0, Index(d[0]), 1}}}
			x.Add(rec, b)
			m.add(rec)
			blocks[b] = true
			if rng.IntN(20) == 0 {
				home := &KeyBlock{Number: uint64(now), Segment: 7}
				x.Carry(1, home)
				blocks[home] = true
			}
			for _, gone := range x.TakeEmptied() {
				delete(blocks, gone)
			}
			live := 0
			for b := range blocks {
				live += b.Live
			}
			if x.Len() != len(m.list) || live != x.Len() {
				t.Fatalf("at %d: %d keys, blocks hold %d, want %d", now, x.Len(), live, len(m.list))
			}
		}
	}
}

// A block that was carried holds keys of all ages, and stays until the youngest is forgotten. An old
// record of a key that was sent again meanwhile must not stand in for the new one.
func TestAStartFindsAKeyThatWasForgottenAndSentAgain(t *testing.T) {
	carried, later := &KeyBlock{Number: 1}, &KeyBlock{Number: 2}
	key := KeyDigest{1}
	found := []FoundKey{
		{KeyRecord{Digest: key, Body: 5, Age: 0, Runs: []KeyRun{{0, 1, 1}}}, carried},
		{KeyRecord{Digest: KeyDigest{2}, Age: 900}, carried},
		{KeyRecord{Digest: key, Body: 5, Age: 1000, Runs: []KeyRun{{0, 7, 1}}}, later},
	}
	x := NewKeyIndex(KeyRule{Window: 1000, Max: 10})
	x.Load(found, 1001)
	if hit, v := x.Find(key, 5, 1001); v != KeyRepeat || len(hit.Runs) != 1 || hit.Runs[0].First != 7 {
		t.Errorf("a millisecond after it was sent again: verdict %d, %+v; want a repeat of entry 7", v, hit)
	}
	if _, v := x.Find(key, 5, 1999); v != KeyRepeat {
		t.Errorf("inside the window of its second life: verdict %d, want a repeat", v)
	}
}

// A block may hold keys that are forgotten already while one is added to it, or that are forgotten at a start.
func TestOnlyBlocksWithoutAKeyThatCountsAreEmptied(t *testing.T) {
	x := NewKeyIndex(KeyRule{Window: 1000, Max: 1})
	b := new(KeyBlock)
	x.Add(KeyRecord{Digest: KeyDigest{1}}, b)
	x.Add(KeyRecord{Digest: KeyDigest{2}}, b)
	if e := x.TakeEmptied(); len(e) != 0 {
		t.Errorf("a block with %d key is said to be empty", e[0].Live)
	}
	x.Expire(2000)
	if e := x.TakeEmptied(); len(e) != 0 {
		t.Error("a block is given that is not on the disk yet")
	}
	b.Number = 7
	if e := x.TakeEmptied(); len(e) != 1 {
		t.Errorf("%d blocks are empty, want one", len(e))
	}
	x = NewKeyIndex(KeyRule{Window: 1000, Max: 10})
	old, young := &KeyBlock{Number: 1}, &KeyBlock{Number: 2}
	x.Load([]FoundKey{{KeyRecord{Digest: KeyDigest{1}}, old}, {KeyRecord{Digest: KeyDigest{2}, Age: 500}, young}}, 1200)
	if e := x.TakeEmptied(); len(e) != 1 || e[0] != old || x.Len() != 1 {
		t.Errorf("%d keys, empty are %v; want one, and the older block", x.Len(), e)
	}
}

// FuzzAKeyIsNewOnceInItsWindow reads its input as keyed requests, time that passes, segments that are
// given up, and starts.
//
// Law: a key is new, a repeat, reused or refused exactly where the rule in its simplest form says so:
// so two requests with one key are never both new inside the window, unless the index was full and
// forgot one that is older than the floor. A repeat finds the entries of the first request. What a
// segment is left with is carried whole, in order of age; a block is empty when its last key is gone,
// and is said so once; and a start finds the same keys.
func FuzzAKeyIsNewOnceInItsWindow(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 90, 9, 0, 1, 0, 2, 0, 1, 5, 200, 0, 1, 6, 1, 0, 4, 7, 0, 3, 3, 1, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		k := newKeyWorld(t, program.New(script))
		for k.p.More() {
			k.step()
			k.check()
		}
	})
}

// keyWorld is an index, the rule beside it, and the blocks of keys on disk.
type keyWorld struct {
	t       *testing.T
	p       *program.Program
	rule    KeyRule
	x       *KeyIndex
	slow    *slowKeys
	now     int64
	commits uint64
	blocks  map[*KeyBlock][]KeyRecord
	order   []*KeyBlock // as they were written
	home    map[KeyDigest]*KeyBlock
}

func newKeyWorld(t *testing.T, p *program.Program) *keyWorld {
	k := &keyWorld{t: t, p: p, blocks: map[*KeyBlock][]KeyRecord{}, home: map[KeyDigest]*KeyBlock{}}
	k.rule = KeyRule{Window: 100 + int64(p.Below(1000)), Floor: int64(p.Below(3) * 30), Max: 1 + p.Below(8)}
	k.x, k.slow = NewKeyIndex(k.rule), &slowKeys{rule: k.rule}
	return k
}

func (k *keyWorld) step() {
	switch k.p.Below(8) {
	case 0, 1, 2, 3:
		k.request()
	case 4:
		k.now += int64(k.p.Below(256)) * int64(1+k.p.Below(4))
	case 5:
		k.x.Expire(k.now)
		k.slow.expire(k.now)
	case 6:
		k.carry(uint64(k.p.Below(3)))
	case 7:
		k.start()
	}
}

// request is a commit of one to three keyed batches.
func (k *keyWorld) request() {
	k.commits++
	b := &KeyBlock{Number: k.commits, Segment: uint64(k.p.Below(3))}
	k.now += 1 + int64(k.p.Below(2)) // no two commits have one age
	for range 1 + k.p.Below(3) {
		d, body := KeyDigest{byte(k.p.Below(9))}, uint64(k.p.Below(2))
		hit, got := k.x.Find(d, body, k.now)
		want, first := k.slow.find(d, body, k.now), k.slow.record(d)
		if got != want {
			k.t.Fatalf("at %d: key %d: %d, want %d", k.now, d[0], got, want)
		}
		if got == KeyRepeat && !reflect.DeepEqual(hit.Runs, first.Runs) {
			k.t.Fatalf("key %d was found at %+v, want %+v", d[0], hit.Runs, first.Runs)
		}
		if got != KeyNew {
			continue
		}
		rec := KeyRecord{Digest: d, Body: body, Age: k.now}
		for lane := range k.p.Below(3) {
			rec.Runs = append(rec.Runs, KeyRun{LaneID(lane), Index(k.commits), 1 + k.p.Below(9)})
		}
		k.x.Add(rec, b)
		k.slow.add(rec)
		k.home[d] = b
		k.blocks[b] = append(k.blocks[b], rec)
	}
	if len(k.blocks[b]) > 0 {
		k.order = append(k.order, b)
	}
}

// carry gives a segment up: its keys go on in a block of a newer one.
func (k *keyWorld) carry(segment uint64) {
	k.takeEmptied()
	k.commits++
	home := &KeyBlock{Number: k.commits, Segment: 2 + k.commits}
	got := k.x.Carry(segment, home)
	var want []KeyRecord
	for _, rec := range k.slow.list {
		if k.home[rec.Digest].Segment == segment {
			want = append(want, rec)
			k.home[rec.Digest] = home
		}
	}
	if !reflect.DeepEqual(got, want) {
		k.t.Fatalf("segment %d is left with %+v, want %+v", segment, got, want)
	}
	maps.DeleteFunc(k.blocks, func(b *KeyBlock, _ []KeyRecord) bool { return b.Segment == segment })
	if len(got) > 0 {
		k.blocks[home] = got
		k.order = append(k.order, home)
	}
}

// start reads all blocks, through their bytes, as spool/bolt does: by age.
func (k *keyWorld) start() {
	k.takeEmptied()
	var found []FoundKey
	for _, b := range k.order {
		if k.blocks[b] == nil {
			continue
		}
		records, _, err := DecodeKeys(b.Number, EncodeKeys(b.Number, k.blocks[b], nil))
		if err != nil || !reflect.DeepEqual(records, k.blocks[b]) {
			k.t.Fatalf("block %d holds %+v, %v; want %+v", b.Number, records, err, k.blocks[b])
		}
		b.Live = 0
		for _, rec := range records {
			found = append(found, FoundKey{rec, b})
		}
	}
	k.x = NewKeyIndex(k.rule)
	k.x.Load(found, k.now)
	k.slow.expire(k.now)
	// Some that were pushed out may be back. Those that were not are there, oldest first.
	var all []KeyRecord
	for place := k.x.queue.first; place < k.x.queue.end; place++ {
		e := k.x.queue.at(place)
		all = append(all, k.x.record(e))
		k.home[e.digest] = e.block
	}
	if n := len(all) - len(k.slow.list); n < 0 || len(k.slow.list) > 0 && !reflect.DeepEqual(all[n:], k.slow.list) {
		k.t.Fatalf("a start finds the keys %+v, want them to end with %+v", all, k.slow.list)
	}
	k.slow.list = all
}

// takeEmptied deletes the blocks that are said to be empty: none of their keys is known any more.
func (k *keyWorld) takeEmptied() {
	for _, b := range k.x.TakeEmptied() {
		if _, ok := k.blocks[b]; !ok && b.Live != 0 {
			k.t.Fatalf("block %d is empty twice, or holds %d keys", b.Number, b.Live)
		}
		delete(k.blocks, b)
	}
}

func (k *keyWorld) check() {
	if k.x.Len() != len(k.slow.list) {
		k.x.Expire(k.now) // it forgets in time, if not in fact
	}
	k.takeEmptied()
	if k.x.Len() != len(k.slow.list) || k.x.Len() > k.rule.Max {
		k.t.Fatalf("%d keys, want %d, at most %d", k.x.Len(), len(k.slow.list), k.rule.Max)
	}
	oldest := k.now
	if len(k.slow.list) > 0 {
		oldest = k.slow.list[0].Age
	}
	if got := k.x.OldestAge(k.now); got != oldest {
		k.t.Fatalf("the oldest key is of %d, want %d", got, oldest)
	}
	live := map[*KeyBlock]int{}
	for _, rec := range k.slow.list {
		live[k.home[rec.Digest]]++
	}
	for b := range k.blocks {
		if b.Live != live[b] || b.Live == 0 {
			k.t.Fatalf("block %d of segment %d says %d live keys, it has %d", b.Number, b.Segment, b.Live, live[b])
		}
	}
}

// Memory is promised whatever the window is full of: half a million keys are the default.
func TestAKeyTakesLittleMemory(t *testing.T) {
	const keys, most = 500_000, 140
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	x := NewKeyIndex(KeyRule{Window: 1 << 40, Max: keys})
	r := rand.New(rand.NewPCG(1, 2))
	var block *KeyBlock
	for i := range keys + keys/2 { // a third is forgotten again
		if i%20 == 0 {
			block = &KeyBlock{Number: uint64(i)}
		}
		var d KeyDigest
		binary.BigEndian.PutUint64(d[:], r.Uint64())
		binary.BigEndian.PutUint64(d[8:], r.Uint64())
		x.Add(KeyRecord{Digest: d, Body: r.Uint64(), Age: int64(i), Runs: []KeyRun{{1, Index(i), 3}}}, block)
		x.TakeEmptied()
	}
	if each := (heap() - before) / int64(x.Len()); each > most {
		t.Errorf("each of %d keys takes %d bytes, want at most %d", x.Len(), each, most)
	}
	runtime.KeepAlive(x)
}
