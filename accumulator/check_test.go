package accumulator

import (
	"bytes"
	"maps"
	"math"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// slowHome is the partitioner by what is durable, without a cursor.
func (wl *worldLane) slowHome(i spool.Index) (int32, bool) {
	e, _, err := spool.NextEntry(wl.log.entries[i])
	if err != nil {
		return 0, false
	}
	switch {
	case e.Partition != protocol.NoPartition:
		return e.Partition, true
	case e.HasKey:
		n := int32(0)
		for _, f := range wl.durable.Counts {
			if f.From <= i || n == 0 {
				n = f.Count
			}
		}
		if n == 0 {
			return 0, false
		}
		return int32(protocol.Murmur2(e.Key)&math.MaxInt32) % n, true
	}
	home, ok := int32(0), false
	for _, f := range wl.durable.Sticky {
		if f.From <= i || !ok {
			home, ok = f.Partition, true
		}
	}
	return home, ok
}

// checkBatch compares a batch with the entries that it says it holds, and its place with all that
// is sealed or has left.
func (w *world) checkBatch(wl *worldLane, n int32, b *Batch) {
	taken := wl.taken()
	floor := wl.part(n).acked
	for _, s := range append(slices.Clone(wl.part(n).refusedMaybe), wl.part(n).window...) {
		floor = max(floor, s.spans[len(s.spans)-1].End)
	}
	for i := range wl.indexes(b.Spans) {
		if taken[i] {
			w.t.Fatalf("partition %d was given entry %d, which is sealed or has left", n, i)
		}
		if i < floor {
			w.t.Fatalf("partition %d was given entry %d behind entry %d", n, i, floor-1)
		}
		floor = i + 1
	}
	w.checkRecords(wl, b)
	if b.Count > 1 && len(b.Buf) > w.cfg.BatchSize {
		w.t.Fatalf("a batch of %d records has %d bytes, batch.size is %d", b.Count, len(b.Buf), w.cfg.BatchSize)
	}
}

// checkRecords reads a batch's records and compares them with its entries.
func (w *world) checkRecords(wl *worldLane, b *Batch) {
	rest, count := b.Records(), int32(0)
	maxTimestamp := int64(math.MinInt64)
	for i := range wl.indexes(b.Spans) {
		e, _, err := spool.NextEntry(wl.log.entries[i])
		if err != nil {
			w.t.Fatal(err)
		}
		r, next, err := protocol.NextRecord(rest)
		if err != nil {
			w.t.Fatalf("entry %d in its batch: %v", i, err)
		}
		want, _ := e.Record()
		if !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) || (r.Key == nil) != !e.HasKey ||
			b.FirstTimestamp+r.TimestampDelta != e.Timestamp || r.OffsetDelta != count {
			w.t.Fatalf("entry %d is %+v in its batch, want %+v", i, r, want)
		}
		maxTimestamp = max(maxTimestamp, e.Timestamp)
		rest, count = next, count+1
	}
	if b.Count != count || len(rest) != 0 || b.MaxTimestamp != maxTimestamp || count == 0 {
		w.t.Fatalf("batch of %d records says %d, its largest timestamp is %d and says %d, %d bytes are left over",
			count, b.Count, maxTimestamp, b.MaxTimestamp, len(rest))
	}
}

// checkCopies: read back from the spool it is the same batch, and cut in two it is the same records.
func (w *world) checkCopies(wl *worldLane, b *Batch) {
	s := &spool.Seal{Count: b.Count, Spans: b.Spans}
	again := NewBuilder("topic", s)
	for whole := false; !whole; {
		at := again.Next()
		end := min(at+1+spool.Index(w.p.Below(12)), wl.log.end())
		var err error
		if whole, err = again.Feed(s, wl.log.from(at, end), end); err != nil {
			w.t.Fatalf("batch of %v, read back: %v", b.Spans, err)
		}
	}
	if !bytes.Equal(again.Batch.Records(), b.Records()) || again.Batch.MaxTimestamp != b.MaxTimestamp || again.Batch.FirstTimestamp != b.FirstTimestamp {
		w.t.Fatalf("batch of %v, read back, is another", b.Spans)
	}
	halves, err := b.Cut([]int32{b.Count / 2})
	if b.Count < 2 {
		if err == nil {
			w.t.Fatal("one record is cut in two")
		}
		return
	}
	if err != nil || len(halves) != 2 {
		w.t.Fatalf("batch of %d records is cut into %d, %v", b.Count, len(halves), err)
	}
	left, right := halves[0], halves[1]
	if left.Count+right.Count != b.Count || right.Base != b.Base.Next(int(left.Count)) || left.Count == 0 || right.Count == 0 {
		w.t.Fatalf("batch of %d records is cut into %+v and %+v, %v", b.Count, left, right, err)
	}
	spans := slices.Concat(left.Spans, right.Spans)
	if !slices.Equal(slices.Collect(wl.indexes(spans)), slices.Collect(wl.indexes(b.Spans))) {
		w.t.Fatalf("batch of %v is cut into %v and %v", b.Spans, left.Spans, right.Spans)
	}
	for _, half := range halves {
		w.checkRecords(wl, half)
	}
}

// taken is what is sealed or has left.
func (wl *worldLane) taken() map[spool.Index]bool {
	taken := maps.Clone(wl.settled)
	for _, part := range wl.parts {
		for _, s := range append(slices.Clone(part.refusedMaybe), part.window...) {
			for i := range wl.indexes(s.spans) {
				taken[i] = true
			}
		}
	}
	return taken
}

func (wl *worldLane) indexes(spans []spool.Span) func(func(spool.Index) bool) {
	return func(yield func(spool.Index) bool) {
		for _, sp := range spans {
			for i := sp.First; i < sp.End; i++ {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// budget: what the batches take is what they were counted for, and it is inside the budget, but for
// one batch that could not be made otherwise.
func (w *world) budget() {
	live, used := 0, 0
	count := func(b *Batch) {
		if b != nil {
			live, used = live+1, used+w.a.cost(cap(b.Buf))
		}
	}
	for _, wl := range w.lanes {
		for _, p := range wl.l.parts {
			for _, b := range p.queue {
				count(b)
			}
		}
		for _, p := range wl.l.absent {
			for _, b := range p.queue {
				count(b)
			}
		}
		for _, part := range wl.parts {
			for _, s := range append(slices.Clone(part.refusedMaybe), part.window...) {
				count(s.b)
			}
		}
	}
	if used != w.a.Used() {
		w.t.Fatalf("%d batches take %d bytes, and %d are counted", live, used, w.a.Used())
	}
	if used > w.cfg.BufferMemory && live > 1 {
		w.t.Fatalf("%d batches take %d bytes, the budget is %d", live, used, w.cfg.BufferMemory)
	}
}
