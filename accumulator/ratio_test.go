package accumulator

import (
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// The numbers are those of Kafka's CompressionRatioEstimator: 1.0 at first, better by 0.005 a batch and never better than
// what was seen, worse by 0.05 at least and never better than what was seen.
func TestTheEstimateOfCompressedSizesMovesAsKafkas(t *testing.T) {
	tests := []struct {
		name string
		from ratio
		seen int // wire bytes of 1,000
		want ratio
	}{
		{"nothing known, it compresses well", 0, 200, 995},
		{"better, slowly", 500, 200, 495},
		{"better by less than a step", 500, 497, 497},
		{"the same", 500, 500, 500},
		{"a little worse: by a whole step", 500, 501, 550},
		{"much worse: at once", 500, 900, 900},
		{"never worse than not compressed", 980, 990, 1000},
		{"larger than before compression counts as not compressed", 500, 1200, 1000},
		{"nearly nothing", 4, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.from
			if got.observe(1000, tt.seen); got != tt.want {
				t.Errorf("from %d, seen %d: %d, want %d", tt.from, tt.seen, got, tt.want)
			}
		})
	}
}

// A batch's header is not compressed: it counts on neither side.
func TestTheEstimateIsOfRecordsWithoutTheHeader(t *testing.T) {
	s := &Sizing{ratio: 100}
	b := &Batch{Buf: make([]byte, protocol.BatchHeaderSize+1000), sizing: s}
	if b.Encoded(protocol.BatchHeaderSize + 300); s.ratio != 300 {
		t.Errorf("1000 bytes of records that come to 300: %d per mille", s.ratio)
	}
	if got := observed(0, 100); got != ratioNone {
		t.Errorf("of no records %d per mille are left", got)
	}
	(&Batch{Buf: b.Buf}).Encoded(100) // of no topic: it counts for none
}

// compressing is a lane whose records come to so many of 1,000 bytes on the wire.
type compressing struct {
	*limited
	perMille int
}

func newCompressing(t *testing.T, cfg Config, perMille int) *compressing {
	c := &compressing{newLimited(t, 1<<30), perMille}
	cfg.Compressed = true
	c.a = New(cfg)
	c.limited.l = NewLane(0, "a", 0, 0, spool.Facts{})
	c.limited.l.SetPartitions(1)
	c.limited.l.Block(c.a, c.limited.l.Partition(0), false)
	return c
}

// next is the size of the next full batch on the wire, by estimate and in truth, and before it is compressed.
func (c *compressing) next() (estimate, wire, records int) {
	c.t.Helper()
	b := c.pop()
	defer c.a.Recycle(b)
	estimate, records = b.WireSize(), len(b.Buf)
	wire = protocol.BatchHeaderSize + (records-protocol.BatchHeaderSize)*c.perMille/1000
	b.Encoded(wire)
	if got := b.WireSize(); got != wire {
		c.t.Fatalf("a batch of %d bytes on the wire says %d", wire, got)
	}
	return estimate, wire, records
}

// Law: batch.size is what batches have on the wire, once their topic's records are known; a change for the worse is seen
// in one batch.
func TestBatchSizeIsBytesOnTheWire(t *testing.T) {
	const size = 16384
	c := newCompressing(t, Config{BatchSize: size, BufferMemory: 32 << 20}, 250)
	_, first, _ := c.next()
	if first > size/4+protocol.BatchHeaderSize {
		t.Errorf("the first batch has %d bytes on the wire: nothing was known of its topic", first)
	}
	for range 200 {
		c.next()
	}
	estimate, wire, records := c.next()
	if wire < size*9/10 || wire > size || records < 3*size || estimate < wire || estimate > wire*106/100 {
		t.Errorf("%d bytes make %d on the wire (estimate %d), want nearly %d", records, wire, estimate, size)
	}
	c.perMille = 1000
	if _, wire, _ := c.next(); wire != records && wire < 3*size {
		t.Errorf("the batch that was filled by the wrong estimate has %d bytes", wire)
	}
	if _, wire, _ := c.next(); wire > size {
		t.Errorf("the second one that does not compress has %d bytes on the wire, want at most %d", wire, size)
	}
}

// A batch may get 16 times batch.size before it is compressed, an eighth of buffer.memory at most, and not more than
// batch.size where half of that is taken; without compression batch.size is what it is.
func TestALargeBatchStaysWithinItsBounds(t *testing.T) {
	for _, tt := range []struct {
		name       string
		cfg        Config
		taken      int
		compressed bool
		want       int
	}{
		{"sixteen times", Config{BatchSize: 1024, BufferMemory: 1 << 20}, 0, true, 16 * 1024},
		{"an eighth of the memory", Config{BatchSize: 1024, BufferMemory: 64 << 10}, 0, true, 8 * 1024},
		{"half is taken to the last byte", Config{BatchSize: 1024, BufferMemory: 1 << 20}, 1 << 19, true, 16 * 1024},
		{"more than half is taken", Config{BatchSize: 1024, BufferMemory: 1 << 20}, 1<<19 + 1, true, 1024},
		{"not compressed", Config{BatchSize: 1024, BufferMemory: 1 << 20}, 0, false, 1024},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Compressed = tt.compressed
			a := New(tt.cfg)
			a.used = tt.taken
			s := &Sizing{ratio: 10}
			if got := s.batchSize(a); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}

// A batch that cannot get larger for want of memory does not wait for company: what it has is a whole batch.
func TestALargeBatchThatMemoryIsShortForIsReady(t *testing.T) {
	c := newCompressing(t, Config{BatchSize: 1024, BufferMemory: 64 << 10, LingerMs: 1000}, 10)
	c.limited.l.Sizing.ratio = 10
	p := c.limited.l.Partition(0)
	for i := spool.Index(0); i < 9; i++ {
		if !p.add(c.a, 1, i, &spool.Entry{Timestamp: 1, Partition: 0, Body: make([]byte, 100)}) {
			t.Fatal("no room")
		}
	}
	c.a.cfg.BufferMemory = c.a.used
	for i := spool.Index(9); p.add(c.a, 1, i, &spool.Entry{Timestamp: 1, Partition: 0, Body: make([]byte, 100)}); i++ {
	}
	if ready, _ := p.Ready(c.a, 1); !ready {
		t.Error("it waits")
	}
}

// A refusal for the size says that the estimate was wrong: the next batches are as small as if nothing compressed, and
// smaller than what was refused.
func TestARefusalForTheSizeForgetsTheEstimate(t *testing.T) {
	const size = 16384
	c := newCompressing(t, Config{BatchSize: size, BufferMemory: 32 << 20}, 100)
	c.limited.l.ratio = 100
	b := c.pop()
	b.Encoded(len(b.Buf))
	c.limited.l.TooLarge(c.now, b)
	c.a.Recycle(b)
	if _, _, records := c.next(); records > size {
		t.Errorf("%d bytes before compression, want at most %d", records, size)
	}
	b = c.pop()
	b.Encoded(4000)
	c.limited.l.TooLarge(c.now, b)
	c.a.Recycle(b)
	if _, _, records := c.next(); records > 2000 {
		t.Errorf("%d bytes, where 4000 on the wire were refused", records)
	}
}

// Once a thousand partitions have sent something, further batches of theirs take memory that was there before.
func TestQuietPartitionsUseTheirMemoryAgain(t *testing.T) {
	a := New(Config{BatchSize: 128 << 10, BufferMemory: 32 << 20})
	var batches []*Batch
	round := func(size int) {
		for i := range spool.Index(1000) {
			b := a.NewBatch(Target{Sizing: new(Sizing)}, 0, i, &spool.Entry{Body: make([]byte, size)})
			if b == nil {
				t.Fatal("no room")
			}
			batches = append(batches, b)
		}
		for _, b := range batches {
			a.Recycle(b)
		}
		batches = batches[:0]
	}
	round(20_000)
	kept := a.free.bytes
	if kept < 20_000_000 || a.used != 0 {
		t.Fatalf("%d bytes are kept, %d in use", kept, a.used)
	}
	for _, size := range []int{20_000, 17_000, 12_000} {
		round(size)
	}
	if a.free.bytes > 32<<20 || a.used != 0 {
		t.Errorf("%d bytes are kept, %d in use", a.free.bytes, a.used)
	}
	taken := 0
	for range 1000 {
		if a.free.takeSmall(12_000+9*taken%4000, 1<<30) != nil {
			taken++
		}
	}
	if taken < 900 {
		t.Errorf("%d of 1000 batches find memory that was used before, want nearly all", taken)
	}
}
