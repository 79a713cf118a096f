package accumulator

import (
	"testing"

	"github.com/spoold/spoold/spool"
)

// A batch and the copy that it is compressed into stay within buffer.memory together.
func TestTheCopyOfACompressedBatchCounts(t *testing.T) {
	for compressed, want := range map[bool]int{false: 8, true: 4} {
		a := New(Config{BatchSize: 1000, BufferMemory: 8000, Compressed: compressed})
		var batches []*Batch
		for i := range spool.Index(20) {
			b := a.NewBatch(Target{Sizing: new(Sizing)}, 0, i, &spool.Entry{Body: make([]byte, 900)})
			if b == nil {
				break
			}
			batches = append(batches, b)
		}
		if len(batches) != want || a.Used() != 8000 {
			t.Errorf("compressed %v: %d batches take %d bytes, want %d of them and 8000 bytes", compressed, len(batches), a.Used(), want)
		}
		for _, b := range batches {
			a.Recycle(b)
		}
		if a.Used() != 0 {
			t.Errorf("compressed %v: %d bytes are in use when all are back", compressed, a.Used())
		}
	}
}

// Buffers that are kept for the next batches are part of buffer.memory, too.
func TestBuffersThatAreKeptStayInTheBudget(t *testing.T) {
	a := New(Config{BatchSize: 2000, BufferMemory: 16_000})
	fill := func(body int) (list []*Batch) {
		for i := range spool.Index(40) {
			if b := a.NewBatch(Target{Sizing: new(Sizing)}, 0, i, &spool.Entry{Body: make([]byte, body)}); b != nil {
				list = append(list, b)
			}
		}
		return list
	}
	for _, b := range fill(1900) {
		a.Recycle(b)
	}
	if n := len(a.free.free[0]); n != 8 {
		t.Errorf("%d buffers are kept, want 8", n)
	}
	fill(100) // small ones: none of those that are kept is used
	if n := a.used + a.free.bytes; n > 16_000 {
		t.Errorf("%d bytes in use and kept, want at most 16,000", n)
	}
}

// A batch that stays in memory for long, as its topic may not be written to, leaves room for others, and for their copies.
func TestAWholeBatchLeavesRoomForAnother(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		a := New(Config{BatchSize: 1014, BufferMemory: 3430, Compressed: compressed})
		var sizing Sizing
		next := spool.Index(0)
		fill := func() *Batch {
			e := &spool.Entry{Body: make([]byte, 50)}
			b := a.NewBatch(Target{Sizing: &sizing}, 0, next, e)
			for next++; b != nil && a.Fits(b, e) && a.Join(b, next, e); next++ {
			}
			return b
		}
		if fill() == nil {
			t.Fatalf("compressed %v: no room for a batch", compressed)
		}
		if fill() == nil {
			t.Errorf("compressed %v: one batch of %d bytes takes all of buffer.memory", compressed, a.used)
		}
	}
}
