package accumulator

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Config bounds an Accumulator. All must be positive.
type Config struct {
	BatchSize    int   // bytes of a batch, header included, as far as BufferMemory has room for two; one larger record goes alone
	BufferMemory int   // bytes of all batches together, queued and in flight
	LingerMs     int64 // how long a batch waits for company; 0: not at all
	// Compressed: a batch is compressed into a copy, which may be as large as the batch and counts beside it.
	Compressed  bool
	Partitioner protocol.Partitioner
	Seed        uint64
	// Uniform chooses sticky partitions at random, whatever their queues.
	Uniform bool
	// AvailabilityMs is how long a broker may take nothing that is ready for it before its partitions are not chosen any more; 0: however long.
	AvailabilityMs int64
}

// Accumulator is all batches in memory. Not safe for concurrent use: the sender
// owns it.
type Accumulator struct {
	cfg   Config
	used  int // capacity of all live buffers and of the copies they are compressed into; at most BufferMemory, but for a batch that is alone, and what was adopted
	most  int // bytes of a batch before it is compressed, whatever it is expected to come to
	free  buffers
	rng   *rand.Rand
	wakes uint64 // see WakeLanes
	// Lanes with something to do: those whose cursor may have to go back, and those with facts that no Write holds.
	rewinds, fresh []*Lane
	held           int     // bytes in queues of partitions that are blocked
	holding        []*Lane // those that may have such bytes
	now            int64
	drains         map[int32]*drain // by broker
	queues, upTo   []int            // of Pick
	// Hurry makes every batch ready at once (flush, close, no room for more).
	Hurry bool
}

// New makes an empty Accumulator.
func New(cfg Config) *Accumulator {
	// Two whole batches have room beside each other, with their copies: one that is stuck stops no other.
	cfg.BatchSize = min(cfg.BatchSize, cfg.BufferMemory/(&Accumulator{cfg: cfg}).cost(2))
	if cfg.BatchSize < protocol.BatchHeaderSize+64 {
		cfg.BatchSize = protocol.BatchHeaderSize + 64
	}
	a := &Accumulator{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x5ea1)), drains: make(map[int32]*drain)}
	a.free.least = cfg.BatchSize
	a.most = cfg.BatchSize
	if cfg.Compressed {
		a.most = max(a.most, min(cfg.BatchSize<<(classes-1), cfg.BufferMemory/8))
	}
	return a
}

// Used is how many bytes the batches take.
func (a *Accumulator) Used() int { return a.used }

// WakeLanes says that there may be room again, or a way to a partition, for lanes that could take nothing more.
func (a *Accumulator) WakeLanes() { a.wakes++ }

// Rewinds moves the cursor of each lane back to the first entry that was passed over for a partition that can be
// written again, and calls yield for those that have moved.
func (a *Accumulator) Rewinds(yield func(*Lane)) {
	for _, l := range a.rewinds {
		if l.due = false; l.Rewind() {
			yield(l)
		}
	}
	clear(a.rewinds)
	a.rewinds = a.rewinds[:0]
}

// FreshFacts calls yield with the facts that no Write holds yet, by lane; they are handed out once.
func (a *Accumulator) FreshFacts(yield func(spool.LaneFacts)) {
	slices.SortFunc(a.fresh, func(x, y *Lane) int { return cmp.Compare(x.ID, y.ID) })
	for _, l := range a.fresh {
		if f, ok := l.FreshFacts(); ok {
			yield(spool.LaneFacts{Lane: l.ID, Facts: f})
		}
	}
	clear(a.fresh)
	a.fresh = a.fresh[:0]
}

// Held is how many bytes wait for partitions that are blocked: what EvictBlocked may give back.
func (a *Accumulator) Held() int { return a.held }

// hold counts n more bytes, or less, that wait for blocked partitions of l.
func (a *Accumulator) hold(l *Lane, n int) {
	a.held += n
	if n > 0 && !l.holding {
		l.holding = true
		a.holding = append(a.holding, l)
	}
}

// EvictBlocked gives back to the spool what waits for partitions that are blocked.
func (a *Accumulator) EvictBlocked() {
	for _, l := range a.holding {
		l.holding = false
		l.EvictBlocked(a)
	}
	clear(a.holding)
	a.holding = a.holding[:0]
}

// Wakes is another number after each WakeLanes, and never 0.
func (a *Accumulator) Wakes() uint64 { return a.wakes + 1 }

// Room reports whether n more bytes fit into the budget.
func (a *Accumulator) Room(n int) bool { return a.used+a.cost(n) <= a.cfg.BufferMemory }

// cost is what a buffer of n bytes takes of the budget.
func (a *Accumulator) cost(n int) int {
	if a.cfg.Compressed {
		return 2 * n
	}
	return n
}

// Adopt counts a batch that was built elsewhere (see Builder, Batch.Cut).
func (a *Accumulator) Adopt(b *Batch) {
	a.used += a.cost(cap(b.Buf))
	a.free.trim(a.cfg.BufferMemory - a.used)
}

// Recycle takes back a batch that nothing refers to any more.
func (a *Accumulator) Recycle(b *Batch) {
	if b.Buf == nil {
		return
	}
	a.used -= a.cost(cap(b.Buf))
	a.free.put(b.Buf)
	a.free.trim(a.cfg.BufferMemory - a.used)
	b.Buf = nil
}

// Forget gives up a batch whose bytes somebody may still read.
func (a *Accumulator) Forget(b *Batch) { a.used -= a.cost(cap(b.Buf)) }
