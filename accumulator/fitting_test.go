package accumulator

import (
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// A batch is cut as its topic's own setting says; by what was acked; and not at all where that says nothing.
func TestARefusedBatchIsCutToWhatItsTopicTakes(t *testing.T) {
	l := newLimited(t, 1<<30)
	b := l.pop() // about 16,384 bytes, a hundred in a record
	if places, err := l.l.Fitting(b); err != nil || places != nil {
		t.Errorf("nothing is known: cut before %v, %v", places, err)
	}
	for _, tt := range []struct {
		said, acked int
		pieces      int
	}{
		{said: 10_000, pieces: 2},
		{said: 4_000, pieces: 5},
		{said: 20_000, pieces: 0}, // it is not why
		{said: 20_000, acked: 6_000, pieces: 3},
		{acked: 100, pieces: 0},
		{said: 100, pieces: 39}, // leastLimit
	} {
		l.l.limit = sizeLimit{said: tt.said, acked: tt.acked}
		l.l.TooLarge(1, b)
		places, err := l.l.Fitting(b)
		if n := len(places); err != nil || tt.pieces == 0 && n > 0 || tt.pieces > 0 && n != tt.pieces-1 {
			t.Errorf("said %d, acked %d: cut before %v, %v", tt.said, tt.acked, places, err)
		}
		if len(places) == 0 {
			continue
		}
		pieces, err := b.Cut(places)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range pieces {
			if most := max(l.l.limit.allowed(b.WireSize()), leastLimit); len(piece.Buf) > most {
				t.Errorf("said %d, acked %d: a piece of %d bytes", tt.said, tt.acked, len(piece.Buf))
			}
		}
	}
}

// Batches that were filled before the first refusal are cut before they are sealed: each record is in one of them, in order, and memory is counted
// as it was.
func TestABatchFilledTooLargeIsCutBeforeItIsSealed(t *testing.T) {
	c := newCompressing(t, Config{BatchSize: 4096, BufferMemory: 1 << 20, Seed: 1}, 100)
	var b *Batch
	for range 400 {
		b = c.pop()
		b.Encoded(protocol.BatchHeaderSize + (len(b.Buf)-protocol.BatchHeaderSize)/10)
		c.a.Recycle(b)
	}
	p := c.limited.l.Partition(0)
	for b = c.pop(); len(p.queue) < 3; c.addOne() {
	}
	if whole := len(p.Head().Buf); whole < 3*4096 {
		t.Fatalf("the estimate has batches of %d bytes filled", whole)
	}
	first, end := p.Head().Spans[0].First, p.queue[len(p.queue)-1].Spans[0].End
	b.Encoded(len(b.Buf)) // it does not compress
	c.limited.l.TooLarge(1, b)
	c.limited.l.Configured(3000)
	c.a.Recycle(b)
	for at := first; at < end; {
		if err := p.Fit(c.a); err != nil {
			t.Fatal(err)
		}
		piece := p.Pop(c.a)
		if len(piece.Buf) > 3000 || piece.Spans[0].First != at || len(piece.Spans) != 1 {
			t.Fatalf("%d bytes with records %v, want 3000 at most, from %d", len(piece.Buf), piece.Spans, at)
		}
		at = piece.Spans[0].End
		c.a.Recycle(piece)
	}
	if p.Queued() != 0 || c.a.used != 0 {
		t.Errorf("nothing is left, and %d bytes are queued, %d used", p.Queued(), c.a.used)
	}
}

// addOne adds one record.
func (c *compressing) addOne() {
	c.t.Helper()
	e := spool.Entry{Timestamp: 1, Partition: 0, Body: make([]byte, 100)}
	if !c.limited.l.Partition(0).add(c.a, c.now, c.limited.next, &e) {
		c.t.Fatal("no room")
	}
	c.limited.next++
}

// BenchmarkFill fills batches of 16 KiB with records of 100 bytes that compress to a quarter: by the estimate, and as if nothing were gained.
func BenchmarkFill(b *testing.B) {
	for _, estimated := range []bool{true, false} {
		b.Run(map[bool]string{true: "estimate=0.25", false: "estimate=1"}[estimated], func(b *testing.B) {
			a := New(Config{BatchSize: 16 << 10, BufferMemory: 32 << 20, Compressed: estimated})
			l := NewLane(0, "a", 0, 0, spool.Facts{})
			l.SetPartitions(1)
			p := l.Partition(0)
			l.Block(a, p, false)
			l.ratio = 250
			e := spool.Entry{Timestamp: 1, Partition: 0, Body: make([]byte, 100)}
			batches := 0
			b.ReportAllocs()
			b.SetBytes(100)
			for i := range b.N {
				if !p.add(a, 0, spool.Index(i), &e) {
					b.Fatal("no room")
				}
				for len(p.queue) > 1 {
					a.Recycle(p.Pop(a))
					batches++
				}
			}
			b.ReportMetric(float64(b.N)/float64(max(batches, 1)), "records/batch")
		})
	}
}
