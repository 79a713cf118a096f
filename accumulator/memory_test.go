package accumulator

import (
	"bytes"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

const head = protocol.BatchHeaderSize

func TestABufferIsAsLargeAsItsPartitionsLastBatchWas(t *testing.T) {
	const size = 8192
	tests := []struct {
		name       string
		used       int
		size, hint int
		want       int // capacity; 0: no room
	}{
		{"the least", 0, 10, 0, 512},
		{"just the least", 0, 512 - head, 0, 512},
		{"one byte more than the least", 0, 513 - head, 0, 513},
		{"an eighth more than last time", 0, 10, 1600, 1800},
		{"half a batch", 0, 10, size / 2 * 8 / 9, size / 2 / 9 * 9},
		{"more than half: a whole batch", 0, size/2 + 1 - head, 0, size},
		{"a batch to the last byte", 0, size - head, 0, size},
		{"larger than a batch", 0, size + 1 - head, 0, size + 1},
		{"last time was larger than a batch", 0, 10, 10 * size, size},
		{"room to the last byte", 3*size - 512, 10, 0, 512},
		{"one byte short", 3*size - 511, 10, 0, 0},
		{"the first of all may be larger than the budget", 0, 4 * size, 0, head + 4*size},
		{"a second one may not", 1, 4 * size, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{BatchSize: size, BufferMemory: 3 * size})
			a.used = tt.used
			buf, ok := a.buffer(tt.size, tt.hint, size)
			if ok != (tt.want > 0) || a.used != tt.used+cap(buf) || ok && len(buf) != head {
				t.Fatalf("%v, %d bytes of %d, used %d", ok, len(buf), cap(buf), a.used)
			}
			if low := max(tt.want-1, 0); cap(buf) < low || cap(buf) > tt.want { // a hint is rounded down
				t.Errorf("%d bytes, want %d", cap(buf), tt.want)
			}
		})
	}
}

func TestAWholeBuffersMemoryIsUsedAgain(t *testing.T) {
	const size = 4096
	a := New(Config{BatchSize: size, BufferMemory: 1 << 20})
	buf, _ := a.buffer(size-head, 0, size)
	b := &Batch{Buf: append(buf, make([]byte, 100)...)}
	a.Recycle(b)
	if a.used != 0 || b.Buf != nil || len(a.free.free[0]) != 1 {
		t.Fatalf("used %d, %d buffers kept", a.used, len(a.free.free[0]))
	}
	a.Recycle(b) // again changes nothing
	if a.used != 0 || len(a.free.free[0]) != 1 {
		t.Fatalf("used %d, %d buffers kept after a second time", a.used, len(a.free.free[0]))
	}
	again, _ := a.buffer(size-head, 0, size)
	if &again[:1][0] != &buf[:1][0] || len(again) != head || a.used != size || len(a.free.free[0]) != 0 {
		t.Errorf("%d bytes of %d, used %d, %d buffers kept; want the same memory, empty", len(again), cap(again), a.used, len(a.free.free[0]))
	}
}

// Smaller and larger buffers are not kept, and of whole ones no more than 64.
func TestAsManyBuffersAreKeptAsAreSaid(t *testing.T) {
	const size = 1024
	a := New(Config{BatchSize: size, BufferMemory: 1 << 20})
	for _, c := range []int{size - 1, size + 1} {
		a.used += c
		a.Recycle(&Batch{Buf: make([]byte, head, c)})
	}
	if len(a.free.free[0]) != 0 || a.used != 0 {
		t.Errorf("%d buffers of another size are kept, used %d", len(a.free.free[0]), a.used)
	}
	for range 70 {
		a.used += size
		a.Recycle(&Batch{Buf: make([]byte, head, size)})
	}
	if len(a.free.free[0]) != 64 || a.used != 0 {
		t.Errorf("%d buffers are kept, used %d; want 64 and 0", len(a.free.free[0]), a.used)
	}
}

func TestABatchGrowsByDoublingWithinTheBudget(t *testing.T) {
	const size = 4096
	tests := []struct {
		name       string
		length, c  int // of the batch
		more       int
		room       int // in the budget
		kept       int // whole buffers that are kept
		want       int // capacity; 0: no room
		fromMemory bool
	}{
		{"it fits to the last byte", 500, 600, 100, 0, 0, 600, false},
		{"one byte more doubles it", 500, 600, 101, 600, 0, 1200, false},
		{"not above a whole batch", 500, 3000, 2600, 5000, 0, size, false},
		{"but above it for one large record", 500, 600, size, 5000, 0, size + 500, false},
		{"room to the last byte", 500, 600, 101, 600, 0, 1200, false},
		{"one byte short", 500, 600, 101, 599, 0, 0, false},
		{"a kept buffer", 500, 600, 101, size - 600, 1, size, true},
		{"a kept buffer would be too much, double is not", 500, 600, 101, size - 601, 1, 1200, false},
		{"a kept buffer is too small", 500, 600, size, 2 * size, 1, size + 500, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{BatchSize: size, BufferMemory: 1 << 16})
			var kept []byte
			for range tt.kept {
				kept = make([]byte, size)
				a.free.put(kept)
			}
			b := &Batch{Buf: append(make([]byte, 0, tt.c), bytes.Repeat([]byte("x"), tt.length)...)}
			a.used = 1<<16 - tt.room
			before := a.used
			ok := a.grow(b, tt.more)
			if ok != (tt.want > 0) {
				t.Fatalf("grown: %v", ok)
			}
			if !ok {
				tt.want = tt.c
			}
			if cap(b.Buf) != tt.want || a.used != before+tt.want-tt.c || len(b.Buf) != tt.length || bytes.Count(b.Buf, []byte("x")) != tt.length {
				t.Errorf("%d bytes of %d, used %d more; want %d of %d", len(b.Buf), cap(b.Buf), a.used-before, tt.length, tt.want)
			}
			if taken := kept != nil && &b.Buf[0] == &kept[0]; taken != tt.fromMemory {
				t.Errorf("a kept buffer was taken: %v", taken)
			}
		})
	}
}

// With less, not even a small record would fit beside the header.
func TestABatchHasRoomForARecordAtLeast(t *testing.T) {
	for _, size := range []int{1, head + 63, head + 64, head + 65} {
		if got, want := New(Config{BatchSize: size, BufferMemory: 1000}).cfg.BatchSize, max(size, head+64); got != want {
			t.Errorf("a batch.size of %d counts as %d, want %d", size, got, want)
		}
	}
}

func TestAdoptedBatchesCountUntilTheyAreForgotten(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 5000})
	b := &Batch{Buf: make([]byte, head, 700)}
	if a.Adopt(b); a.Used() != 700 || !a.Room(4300) || a.Room(4301) {
		t.Errorf("used %d of 5000", a.Used())
	}
	if a.Forget(b); a.Used() != 0 {
		t.Errorf("used %d after it was forgotten", a.Used())
	}
}

func TestWhatIsQueuedIsCountedAndTakenOff(t *testing.T) {
	a := New(Config{BatchSize: 300, BufferMemory: 1 << 20})
	l := lane(a, 1)
	lg := &log{}
	for range 40 {
		lg.add(nil, make([]byte, 30), -1)
	}
	feedAll(t, a, l, lg)
	p := l.Partition(0)
	sum := 0
	for _, b := range p.queue {
		sum += len(b.Buf)
	}
	if p.Queued() != sum || len(p.queue) < 3 {
		t.Fatalf("%d batches of %d bytes, %d counted", len(p.queue), sum, p.Queued())
	}
	b := p.Pop(a)
	if p.Queued() != sum-len(b.Buf) || p.hint != len(b.Buf) || !b.full {
		t.Errorf("%d counted behind a batch of %d of %d, the next is expected to have %d", p.Queued(), len(b.Buf), sum, p.hint)
	}
	if l.Evict(a, p); p.Queued() != 0 || !p.Empty() || a.Used() != cap(b.Buf) {
		t.Errorf("%d counted, %d bytes used by one batch of %d", p.Queued(), a.Used(), cap(b.Buf))
	}
}

// What blocked partitions hold is given up, whether the topic has them or not, and only that.
func TestRoomIsMadeByWhatIsBlocked(t *testing.T) {
	a := New(Config{BatchSize: 300, BufferMemory: 1 << 20})
	l := lane(a, 3)
	lg := &log{}
	for i := range 30 {
		lg.add(nil, make([]byte, 30), int32(i%3))
	}
	feedAll(t, a, l, lg)
	if n := l.EvictBlocked(a); n != 0 {
		t.Errorf("%d bytes given up, and nothing is blocked", n)
	}
	before := a.Used()
	l.Block(a, l.Partition(1), true)
	n := l.EvictBlocked(a)
	if n <= 0 || a.Used() != before-n || !l.Partition(1).Empty() || l.Partition(0).Empty() || l.Partition(2).Empty() {
		t.Errorf("%d of %d bytes given up, %d used", n, before, a.Used())
	}
	if l.EvictBlocked(a) != 0 {
		t.Error("given up twice")
	}
}

func TestCutRecordsAreErrors(t *testing.T) {
	good := spool.AppendRecord(nil, []byte{1, 0, 1, 0, 0}, 7, 3)
	if delta, body, rest, err := cutRecord(good); err != nil || delta != 7 || len(rest) != 0 || !bytes.Equal(body, []byte{1, 0, 1, 0, 0}) {
		t.Errorf("delta %d, body %x, rest %x, %v", delta, body, rest, err)
	}
	for end := range good {
		if _, _, _, err := cutRecord(good[:end]); err == nil {
			t.Errorf("a record cut at %d of %d is taken", end, len(good))
		}
	}
	for _, raw := range [][]byte{{4, 0, 0}, {6, 0, 0x80, 0x80}, {6, 0, 0, 0x80}, {5, 0, 0, 0}} {
		if _, _, _, err := cutRecord(raw); err == nil {
			t.Errorf("%x is taken for a record", raw)
		}
	}
	if _, body, _, err := cutRecord([]byte{6, 0, 0, 0}); err != nil || len(body) != 0 {
		t.Errorf("a record without a body: %x, %v", body, err)
	}
}

func TestMoreThan2GiBAreCounted(t *testing.T) {
	a := New(Config{BatchSize: 1 << 20, BufferMemory: 6 << 30})
	a.used = 3 << 30
	if !a.Room(3<<30) || a.Room(3<<30+1) {
		t.Errorf("used %d of %d bytes", a.used, a.cfg.BufferMemory)
	}
	if buf, ok := a.buffer(100, 0, 1<<20); !ok || a.used != 3<<30+cap(buf) {
		t.Errorf("%v, used %d", ok, a.used)
	}
}
