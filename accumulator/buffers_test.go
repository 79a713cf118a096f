package accumulator

import (
	"testing"

	"github.com/spoold/spoold/spool"
)

// A small buffer serves a batch of its own size down to half of it, where the budget has room for all of it.
func TestASmallBufferServesBatchesOfHalfItsSizeAndMore(t *testing.T) {
	for _, tt := range []struct {
		name             string
		kept, want, most int
		taken            bool
	}{
		{"the least that is kept", 512, 512, 1 << 20, true},
		{"less is not kept", 511, 300, 1 << 20, false},
		{"half of the least whole one", 2048, 2048, 1 << 20, true},
		{"more is not kept", 2049, 2000, 1 << 20, false},
		{"a byte too small", 1000, 1001, 1 << 20, false},
		{"twice as large", 1024, 512, 1 << 20, true},
		{"more than twice as large", 1025, 512, 1 << 20, false},
		{"as much as there is room for", 700, 600, 700, true},
		{"more than there is room for", 700, 600, 699, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := buffers{least: 4096}
			f.put(make([]byte, head, tt.kept))
			buf := f.takeSmall(tt.want, tt.most)
			if (buf != nil) != tt.taken || tt.taken && (cap(buf) != tt.kept || len(buf) != head || f.bytes != 0) {
				t.Errorf("taken: %d bytes of %d, %d bytes are kept still", len(buf), cap(buf), f.bytes)
			}
		})
	}
}

func TestTheLargestBuffersAreKeptInTheLastClass(t *testing.T) {
	f := buffers{least: 256 << 20}
	f.put(make([]byte, head, 64<<20))
	if f.takeSmall(64<<20+1, 1<<30) != nil {
		t.Error("a buffer of 64 MiB has room for more")
	}
	if buf := f.takeSmall(40<<20, 1<<30); cap(buf) != 64<<20 {
		t.Errorf("%d bytes for 40 MiB, want those that are kept", cap(buf))
	}
	f = buffers{least: 512}
	if f.put(make([]byte, head, 512<<classes)); f.bytes != 0 {
		t.Error("a buffer above the largest size is kept")
	}
}

func TestTheLargestBuffersAreGivenUpFirst(t *testing.T) {
	for _, tt := range []struct{ most, left int }{
		{13824, 13824}, {13823, 5632}, {5632, 5632}, {5631, 1536}, {1536, 1536}, {1535, 512}, {512, 512}, {511, 0}, {-1, 0},
	} {
		f := buffers{least: 4096}
		for _, c := range []int{4096, 8192, 512, 1024} {
			f.put(make([]byte, head, c))
		}
		if f.trim(tt.most); f.bytes != tt.left {
			t.Errorf("%d bytes may be kept, and %d are, want %d", tt.most, f.bytes, tt.left)
		}
	}
}

// keeping is an accumulator that keeps buffers of such sizes.
func keeping(cfg Config, sizes ...int) *Accumulator {
	a := New(cfg)
	for _, c := range sizes {
		a.free.put(make([]byte, head, c))
	}
	return a
}

// Law: what is in use and what is kept are within buffer.memory together, whatever needs more.
func TestKeptBuffersMakeRoomForWhatIsNeeded(t *testing.T) {
	cfg := Config{BatchSize: 2000, BufferMemory: 16_000}
	for _, tt := range []struct {
		name string
		kept []int
		need func(a *Accumulator) bool
	}{
		{"a new batch", []int{4000, 4000, 4000, 4000}, func(a *Accumulator) bool { _, ok := a.buffer(100, 0, 2000); return ok }},
		{"a batch that grows", []int{4000, 4000, 4000, 2000, 1000}, func(a *Accumulator) bool {
			b := &Batch{Buf: make([]byte, 500, 520)}
			a.used = 520
			return a.grow(b, 100)
		}},
		{"a batch that was built elsewhere", []int{4000, 4000, 4000, 4000}, func(a *Accumulator) bool {
			a.Adopt(&Batch{Buf: make([]byte, 500)})
			return true
		}},
		{"a batch that is given back beside others", []int{4000, 4000, 4000, 2000}, func(a *Accumulator) bool {
			a.used = 2000 + 2000
			a.Recycle(&Batch{Buf: make([]byte, head, 2000)})
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := keeping(cfg, tt.kept...)
			if !tt.need(a) {
				t.Fatal("no room")
			}
			if a.used+a.free.bytes > cfg.BufferMemory {
				t.Errorf("%d bytes are used and %d kept, of %d", a.used, a.free.bytes, cfg.BufferMemory)
			}
		})
	}
}

// A batch and its copy have to fit where a kept buffer is used again, too.
func TestAKeptBufferIsNotUsedBeyondTheBudget(t *testing.T) {
	for _, tt := range []struct {
		compressed bool
		room       int
		want       int // capacity
	}{
		{false, 600, 512}, {false, 700, 700}, {true, 1200, 512}, {true, 1400, 700},
	} {
		a := keeping(Config{BatchSize: 2000, BufferMemory: 16_000, Compressed: tt.compressed}, 700)
		a.used = 16_000 - tt.room
		buf, ok := a.buffer(100, 0, 2000)
		if !ok || cap(buf) != tt.want || a.used > 16_000 {
			t.Errorf("compressed %v, room for %d bytes: a buffer of %d, %d used of 16,000", tt.compressed, tt.room, cap(buf), a.used)
		}
		if a.Forget(&Batch{Buf: buf}); a.used != 16_000-tt.room {
			t.Errorf("compressed %v: %d bytes are used when it is forgotten", tt.compressed, a.used)
		}
	}
}

func TestABatchGrowsIntoASmallBufferThatIsKept(t *testing.T) {
	a := keeping(Config{BatchSize: 4000, BufferMemory: 16_000}, 1300)
	b := &Batch{Buf: make([]byte, 500, 600)}
	a.used = 600
	if !a.grow(b, 101) || cap(b.Buf) != 1300 || a.used != 1300 || len(b.Buf) != 500 {
		t.Errorf("it has %d bytes of %d, %d used; want the buffer of 1300", len(b.Buf), cap(b.Buf), a.used)
	}
}

// A batch above batch.size, as it compresses well, takes the next whole size: else each further record would move it.
func TestABatchAboveBatchSizeGrowsToTheNextSize(t *testing.T) {
	a := New(Config{BatchSize: 1024, BufferMemory: 1 << 20, Compressed: true})
	b := &Batch{Buf: make([]byte, 1000, 1024)}
	a.Adopt(b)
	if !a.grow(b, 25) || cap(b.Buf) != 2048 || a.Used() != 2*2048 {
		t.Errorf("it has room for %d bytes, %d used; want 2048, and twice as many for the copy", cap(b.Buf), a.Used())
	}
}

// A batch that may be large gets no more than batch.size at first where memory has no room for two of it.
func TestAHintAboveBatchSizeCountsWhereMemoryHasRoom(t *testing.T) {
	const hint = 4096 // and an eighth: 4608, so the size is 8192
	for _, tt := range []struct {
		name string
		size int // of the first record
		room int
		want int
	}{
		{"room for two", 100, 2 * 4608, 8192},
		{"room for one", 100, 2*4608 - 1, 1024},
		{"a first record of batch.size", 1024 - head, 2*4608 - 1, 1024},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{BatchSize: 1024, BufferMemory: 1 << 16})
			a.used = 1<<16 - tt.room
			if buf, ok := a.buffer(tt.size, hint, 16*1024); !ok || cap(buf) != tt.want {
				t.Errorf("%d bytes, %v; want %d", cap(buf), ok, tt.want)
			}
		})
	}
}

func TestABatchTakesWhatFitsToTheLastByte(t *testing.T) {
	const size = 4000
	a := New(Config{BatchSize: size, BufferMemory: 1 << 16})
	b := a.NewBatch(Target{Sizing: new(Sizing)}, 5, 0, &spool.Entry{Body: make([]byte, 300)})
	rest := size - len(b.Buf) - spool.RecordHead
	for body, want := range map[int]bool{rest: true, rest + 1: false} {
		if got := a.Fits(b, &spool.Entry{Body: make([]byte, body)}); got != want {
			t.Errorf("a record of %d bytes, with room for %d: fits %v", body, rest, got)
		}
	}
	for i := spool.Index(1); a.Fits(b, &spool.Entry{Body: make([]byte, 20)}); i++ {
		if !a.Join(b, i, &spool.Entry{Timestamp: 1 << 40, Body: make([]byte, 20)}) {
			t.Fatal("no room")
		}
		if a.Used() != cap(b.Buf) {
			t.Fatalf("%d bytes are counted for a buffer of %d", a.Used(), cap(b.Buf))
		}
	}
	if b.Finish(); a.Fits(b, &spool.Entry{}) {
		t.Error("a finished batch takes a record")
	}
}

func TestAGatheredBatchWaitsForLinger(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 16, LingerMs: 7})
	b := a.NewBatch(Target{Sizing: new(Sizing)}, 100, 0, &spool.Entry{})
	if at := a.ReadyAt(b); at != 107 {
		t.Errorf("ready at %d, want 107", at)
	}
	if a.Hurry = true; a.ReadyAt(b) != 0 {
		t.Error("it waits during a flush")
	}
	a.Hurry = false
	if b.Finish(); a.ReadyAt(b) != 0 {
		t.Error("it waits although it takes nothing more")
	}
}
