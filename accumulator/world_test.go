package accumulator

import (
	"maps"
	"slices"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// world drives an Accumulator as the sender does, and keeps beside it what must be true of it, in
// the slowest and plainest form: where each entry is, and where a restart would put it.
type world struct {
	t     testing.TB
	p     *program.Program
	cfg   Config
	a     *Accumulator
	now   int64
	lanes []*worldLane
}

// worldLane is one topic: the spool's side, the sender's side and the promises made.
type worldLane struct {
	id      spool.LaneID
	log     log // the entries, for ever
	l       *Lane
	topic   int32 // how many partitions the cluster has
	feed    *spool.Index
	settled map[spool.Index]bool
	durable spool.Facts // what a restart would find
	// home is the partition of an entry once a seal at or above it is durable. It never changes
	// while there is such a seal, or was one since the last start.
	home  map[spool.Index]int32
	parts map[int32]*worldPart
}

// worldPart is one partition's batches that are sealed and not settled, oldest first.
type worldPart struct {
	window       []*sealed
	refusedMaybe []*sealed   // refused, left behind when the rest was unsealed
	acked        spool.Index // one above the highest entry that was acked
}

type sealed struct {
	b     *Batch // nil after a restart
	spans []spool.Span
}

func newWorld(t testing.TB, p *program.Program) *world {
	w := &world{t: t, p: p}
	w.cfg = Config{BatchSize: 125 + p.Below(3000), BufferMemory: 300 + 40*p.Below(256), LingerMs: int64(p.Below(8)), Seed: uint64(p.Byte())}
	w.cfg.Compressed = w.cfg.Seed%2 == 1
	w.a = New(w.cfg)
	for id := range 1 + p.Below(2) {
		wl := &worldLane{
			id: spool.LaneID(id), topic: 1 + int32(p.Below(5)), settled: map[spool.Index]bool{},
			home: map[spool.Index]int32{}, parts: map[int32]*worldPart{},
		}
		wl.l = NewLane(wl.id, "topic", 0, 0, spool.Facts{})
		w.lanes = append(w.lanes, wl)
	}
	return w
}

func (wl *worldLane) part(n int32) *worldPart {
	if wl.parts[n] == nil {
		wl.parts[n] = &worldPart{}
	}
	return wl.parts[n]
}

// numbers are the partitions that something was ever sealed for.
func (wl *worldLane) numbers() []int32 { return slices.Sorted(maps.Keys(wl.parts)) }

// commit spools a few records, and passes them on if the lane is live.
func (w *world) commit(wl *worldLane) {
	first := wl.log.end()
	for range 1 + w.p.Below(6) {
		partition := protocol.NoPartition
		var key []byte
		switch kind := w.p.Below(8); kind {
		case 0, 1, 2:
			key = []byte{byte(w.p.Below(6))}
		case 3:
			key = []byte{}
		case 4:
			partition = int32(w.p.Below(7)) // perhaps one that the topic does not have
		}
		value := make([]byte, w.p.Below(90))
		if w.p.Below(32) == 31 {
			value = make([]byte, w.p.Below(3*w.cfg.BatchSize))
		}
		// Timestamps are the callers': they need not rise.
		wl.log.entries = append(wl.log.entries, spool.AppendEntry(nil, int64(w.p.Byte())<<(w.p.Byte()%40), partition, key, value, nil, spool.BodySize(key, value, nil)))
	}
	live := wl.l.Live() && wl.feed == nil && wl.l.End == first
	wl.l.End = wl.log.end()
	if live {
		w.into(wl, wl.log.from(first, wl.log.end()))
	}
}

// into feeds sections, and checks that whatever had nothing and has something now is named.
func (w *world) into(wl *worldLane, sections []spool.Section) bool {
	var empty []*Partition
	for n := range wl.l.Partitions() {
		if p := wl.l.Partition(n); p.Empty() && !p.Passed() {
			empty = append(empty, p)
		}
	}
	all, err := wl.l.Feed(w.a, w.now, sections)
	if err != nil {
		w.t.Fatalf("Feed: %v", err)
	}
	touched := map[*Partition]bool{}
	wl.l.Touched(func(p *Partition) { touched[p] = true })
	for _, p := range empty {
		if !touched[p] && (!p.Empty() || p.Passed()) {
			w.t.Fatalf("partition %d had nothing, and is not among the touched: has it been passed over %v", p.ID, p.Passed())
		}
	}
	w.budget()
	return all
}

// ask begins a read from the spool, as Sender.feed does.
func (w *world) ask(wl *worldLane) {
	if wl.l.Rewind() {
		wl.feed = nil
	}
	if wl.l.Partitions() == 0 || wl.l.Closed || wl.feed != nil {
		return
	}
	if from := wl.l.Position(); from < wl.log.end() {
		wl.feed = &from
	}
}

// answer ends it: sections from where it was asked for, which may begin below, hold entries that
// have left, and lack such entries.
func (w *world) answer(wl *worldLane) {
	if wl.feed == nil {
		return
	}
	at := *wl.feed
	wl.feed = nil
	for at < wl.log.end() && wl.settled[at] {
		at++
	}
	end := min(at+1+spool.Index(w.p.Below(40)), wl.log.end())
	var sections []spool.Section
	if at < end {
		sections = w.sections(wl, at-min(at, spool.Index(w.p.Below(4))), at, end)
	}
	if w.into(wl, sections) {
		wl.l.Skip(end)
	}
}

// sections are entries from first up to end, in one or more sections. Those that have left may be
// missing; those before from are there by chance.
func (w *world) sections(wl *worldLane, first, from, end spool.Index) []spool.Section {
	sparse, cut := w.p.Yes(), w.p.Below(8)
	out := []spool.Section{{Lane: wl.id}}
	for i := first; i < end; i++ {
		if i < from && !wl.settled[i] && sparse {
			continue // what lies before need not be there
		}
		if wl.settled[i] && sparse && w.p.Yes() {
			continue
		}
		s := &out[len(out)-1]
		if n := len(s.Spans); cut > 0 && int(i)%(cut+1) == 0 && n > 0 {
			out = append(out, spool.Section{Lane: wl.id})
			s = &out[len(out)-1]
		}
		if n := len(s.Spans); n > 0 && s.Spans[n-1].End == i {
			s.Spans[n-1].End++
		} else {
			s.Spans = append(s.Spans, spool.Span{First: i, End: i + 1})
		}
		s.Bytes = append(s.Bytes, wl.log.entries[i]...)
	}
	if len(out[len(out)-1].Spans) == 0 {
		out = out[:len(out)-1]
	}
	return out
}

// seal takes the head of a partition that can be written, as Sender.drain does: seal and facts
// are one write.
func (w *world) seal(wl *worldLane, n int32) bool {
	if n >= wl.l.Partitions() {
		return false
	}
	p := wl.l.Partition(n)
	if p.Blocked() || p.Head() == nil {
		return false
	}
	if ready, at := p.Ready(w.a, w.now); !ready {
		if at <= w.now {
			w.t.Fatalf("at %d: partition %d is not ready, and is to be looked at again at %d", w.now, n, at)
		}
		return false
	}
	b := p.Pop(w.a)
	for _, other := range w.lanes {
		if f, ok := other.l.FreshFacts(); ok {
			other.addFacts(w.t, f)
		}
	}
	w.checkBatch(wl, n, b)
	if w.cfg.Compressed {
		w.encoded(wl, b)
	}
	if w.p.Below(8) == 7 {
		w.checkCopies(wl, b)
	}
	part := wl.part(n)
	part.window = append(part.window, &sealed{b, slices.Clone(b.Spans)})
	wl.promise(w.t, b.Spans[len(b.Spans)-1].End)
	for i := range wl.indexes(b.Spans) {
		if home := wl.home[i]; home != n {
			w.t.Fatalf("entry %d was sealed for partition %d, and a restart would put it into %d", i, n, home)
		}
	}
	return true
}

// addFacts is what spool.State does with them.
func (wl *worldLane) addFacts(t testing.TB, f spool.Facts) {
	for _, c := range f.Counts {
		if n := len(wl.durable.Counts); n > 0 && wl.durable.Counts[n-1].From > c.From {
			t.Fatalf("partition count from %d comes after one from %d", c.From, wl.durable.Counts[n-1].From)
		} else if n > 0 && wl.durable.Counts[n-1].From == c.From {
			wl.durable.Counts = wl.durable.Counts[:n-1]
		}
		wl.durable.Counts = append(wl.durable.Counts, c)
	}
	for _, c := range f.Sticky {
		if n := len(wl.durable.Sticky); n > 0 && wl.durable.Sticky[n-1].From > c.From {
			t.Fatalf("sticky run from %d comes after one from %d", c.From, wl.durable.Sticky[n-1].From)
		} else if n > 0 && wl.durable.Sticky[n-1].From == c.From {
			wl.durable.Sticky = wl.durable.Sticky[:n-1]
		}
		wl.durable.Sticky = append(wl.durable.Sticky, c)
	}
}

// promise: from now on every entry below end has its partition, for ever: facts that came later
// than it must not move it.
func (wl *worldLane) promise(t testing.TB, end spool.Index) {
	for i := range end {
		home, ok := wl.slowHome(i)
		if was, promised := wl.home[i]; promised && !wl.settled[i] && (!ok || was != home) {
			t.Fatalf("entry %d belonged to partition %d, and by today's facts to %d", i, was, home)
		} else if !promised && ok {
			wl.home[i] = home
		}
	}
}

// encoded draws what a batch comes to on the wire, and whether it is refused for that.
func (w *world) encoded(wl *worldLane, b *Batch) {
	b.Encoded(protocol.BatchHeaderSize + (len(b.Buf)-protocol.BatchHeaderSize)*(1+w.p.Below(100))/100)
	switch w.p.Below(8) {
	case 0:
		wl.l.TooLarge(w.now, b)
	case 1:
		wl.l.Acked(b)
	}
}
