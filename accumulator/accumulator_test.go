package accumulator

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// log is a lane's entries, as the spool would give them.
type log struct{ entries [][]byte }

func (l *log) add(key, value []byte, partition int32) {
	l.entries = append(l.entries, spool.AppendEntry(nil, int64(len(l.entries)), partition, key, value, nil, spool.BodySize(key, value, nil)))
}

func (l *log) from(i, end spool.Index) []spool.Section {
	s := spool.Section{Spans: []spool.Span{{First: i, End: end}}}
	for ; i < end; i++ {
		s.Bytes = append(s.Bytes, l.entries[i]...)
	}
	return []spool.Section{s}
}

func (l *log) end() spool.Index { return spool.Index(len(l.entries)) }

func lane(a *Accumulator, n int32) *Lane {
	l := NewLane(0, "t", 0, 0, spool.Facts{})
	l.SetPartitions(n)
	for i := range n {
		l.Block(a, l.Partition(i), false)
	}
	return l
}

func feedAll(t *testing.T, a *Accumulator, l *Lane, lg *log) bool {
	t.Helper()
	l.End = lg.end()
	if l.Live() {
		return true
	}
	all, err := l.Feed(a, 0, lg.from(l.Position(), lg.end()))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBatchTakesOneOversizedRecordButNoSecond(t *testing.T) {
	a := New(Config{BatchSize: 200, BufferMemory: 1 << 20})
	l := lane(a, 1)
	lg := &log{}
	lg.add(nil, make([]byte, 1000), -1)
	lg.add(nil, []byte("small"), -1)
	feedAll(t, a, l, lg)
	p := l.Partition(0)
	if b := p.Pop(a); b.Count != 1 {
		t.Errorf("the first batch holds %d records, want the large one alone", b.Count)
	}
	if b := p.Pop(a); b.Count != 1 || b.Spans[0] != (spool.Span{First: 1, End: 2}) {
		t.Errorf("the second batch is %+v", b.Spans)
	}
}

func TestARecordLargerThanTheWholeBudgetStillGoes(t *testing.T) {
	a := New(Config{BatchSize: 200, BufferMemory: 500})
	l := lane(a, 1)
	lg := &log{}
	lg.add(nil, make([]byte, 5000), -1)
	if !feedAll(t, a, l, lg) {
		t.Fatal("it was not taken")
	}
}

func TestTheBudgetIsKeptAndWhatDoesNotFitStaysInTheSpool(t *testing.T) {
	a := New(Config{BatchSize: 300, BufferMemory: 3000})
	l := lane(a, 3)
	lg := &log{}
	for i := range 1000 {
		lg.add([]byte{byte(i % 7)}, make([]byte, 20), -1)
	}
	if feedAll(t, a, l, lg) {
		t.Fatal("a thousand records fitted into 3000 bytes")
	}
	if a.Used() > 3000 {
		t.Errorf("%d bytes are used, the budget is 3000", a.Used())
	}
	if l.Live() || l.Position() == 0 {
		t.Errorf("the cursor stands at %d", l.Position())
	}
}

func TestKeysAreSpreadAsJavaSpreadsThem(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	l := lane(a, 5)
	lg := &log{}
	keys := []string{"21", "foobar", "a-little-bit-long-string", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"}
	for _, k := range keys {
		lg.add([]byte(k), nil, -1)
	}
	feedAll(t, a, l, lg)
	for i, k := range keys {
		want := int32(protocol.Murmur2([]byte(k))&0x7fffffff) % 5
		found := false
		for _, sp := range l.Partition(want).Head().Spans {
			found = found || sp.First <= spool.Index(i) && spool.Index(i) < sp.End
		}
		if !found {
			t.Errorf("key %q is not in partition %d", k, want)
		}
	}
}

func TestAnEmptyKeyIsAKeyAndANullKeyIsNot(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	l := lane(a, 7)
	lg := &log{}
	for range 50 {
		lg.add([]byte{}, []byte("v"), -1)
	}
	feedAll(t, a, l, lg)
	want := int32(protocol.Murmur2(nil)&0x7fffffff) % 7
	if n := l.Partition(want).Head().Count; n != 50 {
		t.Errorf("partition %d holds %d of 50 records with an empty key", want, n)
	}
}

func TestAStickyRunFillsABatchAndMovesOn(t *testing.T) {
	a := New(Config{BatchSize: 400, BufferMemory: 1 << 20, Seed: 3})
	l := lane(a, 4)
	lg := &log{}
	for range 200 {
		lg.add(nil, make([]byte, 20), -1)
	}
	feedAll(t, a, l, lg)
	used, batches := 0, 0
	for i := range int32(4) {
		p := l.Partition(i)
		if !p.Empty() {
			used++
		}
		for !p.Empty() {
			b := p.Pop(a)
			batches++
			if len(b.Spans) != 1 {
				t.Errorf("partition %d: a batch is made of %d runs, want 1", i, len(b.Spans))
			}
		}
	}
	if used < 3 || batches < 10 {
		t.Errorf("%d partitions, %d batches: the run does not move", used, batches)
	}
}

func TestLingerWaitsForCompanyAndAFullBatchDoesNot(t *testing.T) {
	a := New(Config{BatchSize: 200, BufferMemory: 1 << 20, LingerMs: 5})
	l := lane(a, 1)
	lg := &log{}
	lg.add(nil, []byte("v"), -1)
	feedAll(t, a, l, lg)
	p := l.Partition(0)
	if ok, at := p.Ready(a, 4); ok || at != 5 {
		t.Errorf("at 4 ms: ready %v, again at %d; want false and 5", ok, at)
	}
	if ok, _ := p.Ready(a, 5); !ok {
		t.Error("not ready after linger")
	}
	for range 10 {
		lg.add(nil, make([]byte, 50), -1)
	}
	feedAll(t, a, l, lg)
	if ok, _ := p.Ready(a, 0); !ok {
		t.Error("a full batch waits for linger")
	}
}

func TestASplitBatchKeepsRecordsSequencesAndTimestamps(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	l := lane(a, 1)
	lg := &log{}
	for i := range 7 {
		lg.add([]byte{byte(i)}, fmt.Appendf(nil, "value %d", i), 0)
	}
	feedAll(t, a, l, lg)
	b := l.Partition(0).Pop(a)
	b.Identity, b.Base = protocol.ProducerIdentity{ID: 9, Epoch: 1}, 2147483645
	halves, err := b.Cut([]int32{b.Count / 2})
	if err != nil {
		t.Fatal(err)
	}
	left, right := halves[0], halves[1]
	if left.Base != b.Base || left.Count != 3 || right.Base != b.Base.Next(3) || right.Count != 4 {
		t.Errorf("halves at %d+%d and %d+%d", left.Base, left.Count, right.Base, right.Count)
	}
	i := 0
	for _, half := range []*Batch{left, right} {
		rest := half.Records()
		for n := int32(0); len(rest) > 0; n++ {
			r, next, err := protocol.NextRecord(rest)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Value) != fmt.Sprintf("value %d", i) || half.FirstTimestamp+r.TimestampDelta != int64(i) || r.OffsetDelta != n {
				t.Errorf("record %d: %q, timestamp %d, delta %d", i, r.Value, half.FirstTimestamp+r.TimestampDelta, r.OffsetDelta)
			}
			rest, i = next, i+1
		}
	}
}

// TestPartitionsTakeEachRecordOnceAndInOrderWhateverIsEvicted drives one
// lane at random and checks what comes out of each partition against the entries.
func TestPartitionsTakeEachRecordOnceAndInOrderWhateverIsEvicted(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a := New(Config{BatchSize: 120 + rng.IntN(300), BufferMemory: 600 + rng.IntN(4000), Seed: seed})
		n := int32(1 + rng.IntN(5))
		l, lg := lane(a, n), &log{}
		where := map[spool.Index]int32{} // what a popped batch said, for ever
		last := map[int32]spool.Index{}
		var held []*Batch
		pop := func(p *Partition) {
			b := p.Pop(a)
			for _, i := range b.Indexes {
				if prev, ok := where[i]; ok && prev != p.ID {
					t.Fatalf("seed %d: entry %d went to partition %d and to %d", seed, i, prev, p.ID)
				}
				if i < last[p.ID] {
					t.Fatalf("seed %d: partition %d got entry %d after %d", seed, p.ID, i, last[p.ID])
				}
				where[i], last[p.ID] = p.ID, i
			}
			held = append(held, b)
		}
		for range 400 {
			switch rng.IntN(8) {
			case 0, 1, 2:
				for range rng.IntN(6) {
					var key []byte
					if rng.IntN(2) == 0 {
						key = []byte{byte(rng.IntN(9))}
					}
					lg.add(key, make([]byte, rng.IntN(60)), -1)
				}
				feedAll(t, a, l, lg)
			case 3:
				p := l.Partition(rng.Int32N(n))
				l.Block(a, p, !p.Blocked())
			case 4:
				l.EvictBlocked(a)
			case 5:
				l.Rewind()
				feedAll(t, a, l, lg)
			case 6:
				if p := l.Partition(rng.Int32N(n)); !p.Blocked() && !p.Empty() {
					pop(p)
				}
			case 7:
				if len(held) > 0 {
					a.Recycle(held[0])
					held = held[1:]
				}
			}
		}
		for i := range n {
			l.Block(a, l.Partition(i), false)
		}
		for range 2000 {
			l.Rewind()
			feedAll(t, a, l, lg)
			for i := range n {
				for p := l.Partition(i); !p.Empty(); {
					pop(p)
				}
			}
			for _, b := range held {
				a.Recycle(b)
			}
			held = held[:0]
		}
		if len(where) != len(lg.entries) {
			t.Fatalf("seed %d: %d of %d entries came out", seed, len(where), len(lg.entries))
		}
		if a.Used() != 0 {
			t.Fatalf("seed %d: %d bytes are still counted", seed, a.Used())
		}
	}
}

func TestManySmallBatchesTakeNoMoreThanTheBudget(t *testing.T) {
	const budget = 2600
	a := New(Config{BatchSize: 1000, BufferMemory: budget})
	l := lane(a, 8)
	lg := &log{}
	for i := range 80 {
		lg.add(nil, make([]byte, 30), int32(i%8))
	}
	feedAll(t, a, l, lg)
	if a.Used() > budget {
		t.Errorf("%d bytes are used, the budget is %d", a.Used(), budget)
	}
}

func TestBuilderMakesTheSameBatchAgain(t *testing.T) {
	a := New(Config{BatchSize: 4096, BufferMemory: 1 << 20})
	l := lane(a, 3)
	lg := &log{}
	for i := range 100 {
		lg.add([]byte{byte(i)}, fmt.Appendf(nil, "v%d", i), -1)
	}
	feedAll(t, a, l, lg)
	b := l.Partition(1).Pop(a)
	seal := spool.Seal{Count: b.Count, Spans: b.Spans}
	bu := NewBuilder("t", &seal)
	for {
		at := bu.Next()
		end := min(at+7, lg.end())
		whole, err := bu.Feed(&seal, lg.from(at, end), end)
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			break
		}
	}
	if string(bu.Batch.Records()) != string(b.Records()) || bu.Batch.MaxTimestamp != b.MaxTimestamp {
		t.Error("the batch made again differs")
	}
}

func BenchmarkFeed(b *testing.B) {
	for _, size := range []int{100, 1000} {
		for _, keyed := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d/keyed=%v", size, keyed), func(b *testing.B) {
				lg := &log{}
				const n = 10_000
				for i := range n {
					var key []byte
					if keyed {
						key = fmt.Appendf(nil, "key-%d", i%97)
					}
					lg.add(key, make([]byte, size), -1)
				}
				sec := lg.from(0, n)
				a := New(Config{BatchSize: 64 << 10, BufferMemory: 32 << 20})
				l := lane(a, 6)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for i := 0; i < b.N; i += n {
					l.End += n
					sec[0].Spans[0] = spool.Span{First: l.End - n, End: l.End}
					if all, err := l.Feed(a, 0, sec); !all || err != nil {
						b.Fatal(all, err)
					}
					for k := range int32(6) {
						for p := l.Partition(k); !p.Empty(); {
							a.Recycle(p.Pop(a))
						}
					}
					l.prune(l.End)
				}
			})
		}
	}
}
