package accumulator

import (
	"slices"
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

// ofSizes is a batch of records of such sizes that has so many bytes on the wire; 0: it does not compress.
func ofSizes(wire int, sizes ...int) *Batch {
	b := &Batch{Buf: make([]byte, protocol.BatchHeaderSize), wire: wire}
	for i, size := range sizes {
		body := size - spool.RecordHead
		for spool.RecordSize(body, 0, int32(i)) < size {
			body++
		}
		b.add(spool.Index(i), 0, make([]byte, body))
	}
	return b
}

// A piece's records come to what is allowed, less a batch's header; where records compress, to as much as they are expected to make,
// and a twentieth less. A record that is larger is a piece of its own.
func TestPiecesAreFilledToWhatIsAllowed(t *testing.T) {
	const room = 451 // of 512 bytes
	ten := slices.Repeat([]int{1100}, 10)
	for _, tt := range []struct {
		name    string
		b       *Batch
		allowed int
		want    []int32
	}{
		{"to the last byte", ofSizes(0, 225, room-225, 100), 512, []int32{2}},
		{"one byte more", ofSizes(0, 225, room-224, 100), 512, []int32{1}},
		{"a tenth more", ofSizes(0, 240, 240), 512, []int32{1}},
		{"records that are larger", ofSizes(0, 1000, 1000, 1000), 512, []int32{1, 2}},
		{"records that come to a fifth", ofSizes(61+2200, ten...), 1000, []int32{4, 8}},
		{"nothing is known of what is allowed", ofSizes(0, 1000, 1000), 0, nil},
		{"as many pieces as there may be", ofSizes(0, slices.Repeat([]int{1000}, 64)...), 512, sequence(1, 63)},
		{"a piece too many", ofSizes(0, slices.Repeat([]int{1000}, 65)...), 512, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := fitting(tt.b, tt.allowed); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("cut before records %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	b := ofSizes(0, 300, 300)
	b.Buf = b.Buf[:len(b.Buf)-1]
	if _, err := fitting(b, 512); err == nil {
		t.Error("a batch that is cut short has places to cut it at")
	}
}

func sequence(from, to int32) (list []int32) {
	for ; from <= to; from++ {
		list = append(list, from)
	}
	return list
}

// The head is cut only where it is expected to be refused.
func TestOnlyAHeadAboveTheLimitIsCut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		b      *Batch
		more   int // of the limit than of the batch on the wire
		pieces int
	}{
		{"at the limit", ofSizes(0, slices.Repeat([]int{500}, 8)...), 0, 1},
		{"a byte above it", ofSizes(0, slices.Repeat([]int{500}, 8)...), -1, 2},
		{"two records", ofSizes(0, 1000, 1000), -1, 2},
		{"one record", ofSizes(0, 1000), -1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{BatchSize: 16384, BufferMemory: 1 << 20, Compressed: true})
			l := lane(a, 1)
			p := l.Partition(0)
			tt.b.sizing, l.ratio = &l.Sizing, 500
			a.Adopt(tt.b)
			p.queue = []*Batch{tt.b}
			p.enqueued(a, len(tt.b.Buf))
			l.limit.bytes = tt.b.WireSize() + tt.more
			if err := p.Fit(a); err != nil || len(p.queue) != tt.pieces {
				t.Fatalf("%d pieces, %v; want %d", len(p.queue), err, tt.pieces)
			}
			queued, used := 0, 0
			for _, b := range p.queue {
				queued, used = queued+len(b.Buf), used+a.cost(cap(b.Buf))
			}
			if p.Queued() != queued || a.Used() != used {
				t.Errorf("%d bytes queued and %d used are counted as %d and %d", queued, used, p.Queued(), a.Used())
			}
		})
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
