package accumulator

import (
	"maps"
	"slices"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/spool"
)

// FuzzEveryEntryIsSealedOnceInOrderWhereARestartWouldPutIt reads its input as what a sender does
// with an accumulator: commits, reads from the spool, seals, acks, refusals, full memory, restarts,
// partitions that come, go quiet and come back.
//
// Law: whatever happens, each entry is in one sealed batch at most, byte for byte; a partition's
// entries are sealed in the order of their indexes; each goes where the facts that are durable at
// that moment put it, and no fact that comes later moves an entry below; the budget is kept but for
// one batch alone; and once everything can be written, everything comes out and nothing is counted
// any more.
func FuzzEveryEntryIsSealedOnceInOrderWhereARestartWouldPutIt(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x40\x10\x20\x00\x01\x01\x02" + "a topic that grows, a partition that comes back, and some more records for all of them"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<11 {
			return // a longer program says nothing that two shorter ones do not
		}
		w := newWorld(t, program.New(script))
		for w.p.More() {
			w.step()
		}
		w.drain()
	})
}

func (w *world) step() {
	wl := w.lanes[w.p.Below(len(w.lanes))]
	op := w.p.Below(24)
	if testing.Verbose() { // the story of a failing program: go test -v -run …
		defer func() {
			w.t.Logf("lane %d: step %2d, then %d entries, cursor %d, %d partitions, facts %v", wl.id, op, wl.log.end(), wl.l.pos, wl.l.count, wl.durable)
		}()
	}
	switch op {
	case 0, 1, 2, 3:
		w.commit(wl)
	case 4, 5:
		w.ask(wl)
	case 6, 7:
		w.answer(wl)
	case 8, 9, 10:
		w.seal(wl, int32(w.p.Below(7)))
	case 11, 12:
		w.ack(wl, int32(w.p.Below(7)))
	case 13, 14, 15:
		if n := int32(w.p.Below(7)); n < wl.l.Partitions() {
			p := wl.l.Partition(n)
			wl.l.Block(w.a, p, !p.Blocked())
		}
	case 16:
		wl.topic = min(wl.topic+int32(w.p.Below(3)), 7)
		wl.l.SetPartitions(wl.topic)
	case 17:
		wl.l.SetPartitions(int32(w.p.Below(int(wl.topic) + 1))) // an old answer
	case 18:
		wl.l.EvictBlocked(w.a)
	case 19:
		w.unseal(wl, int32(w.p.Below(7)))
	case 20:
		w.now += int64(w.p.Below(6))
	case 21:
		w.a.Hurry = w.p.Yes()
	case 22:
		w.restart()
	case 23:
		w.recreate(wl)
	}
	w.budget()
}

// ack settles the oldest batch of a partition.
func (w *world) ack(wl *worldLane, n int32) {
	part := wl.part(n)
	if len(part.window) == 0 {
		return
	}
	s := part.window[0]
	part.window = part.window[1:]
	w.leave(wl, s.spans)
	part.acked = max(part.acked, s.spans[len(s.spans)-1].End)
	w.recycle(s)
}

func (w *world) leave(wl *worldLane, spans []spool.Span) {
	for _, sp := range spans {
		wl.l.claim(sp)
	}
	for i := range wl.indexes(spans) {
		wl.settled[i] = true
	}
	wl.l.prune(wl.low())
}

func (wl *worldLane) low() spool.Index {
	low := spool.Index(0)
	for wl.settled[low] {
		low++
	}
	return low
}

func (w *world) recycle(s *sealed) {
	switch {
	case s.b == nil:
	case w.p.Yes():
		w.a.Forget(s.b)
	default:
		w.a.Recycle(s.b)
	}
	s.b = nil
}

// unseal gives a partition's window back, as after a refused batch: one record of it may have left for good,
// and its first batch may stay behind, refused.
func (w *world) unseal(wl *worldLane, n int32) {
	part := wl.part(n)
	if n >= wl.l.Partitions() || len(part.window) == 0 {
		return
	}
	list := part.window
	part.window = nil
	switch w.p.Below(3) {
	case 1: // dead-lettered
		s := list[0]
		k := spool.Index(w.p.Below(s.spans[0].Len()))
		i := s.spans[0].First + k
		w.leave(wl, []spool.Span{{First: i, End: i + 1}})
	case 2: // refused, and perhaps in the log
		w.recycle(list[0])
		part.refusedMaybe = append(part.refusedMaybe, list[0])
		list = list[1:]
	}
	var spans []spool.Span
	for _, s := range list {
		for i := range wl.indexes(s.spans) {
			if !wl.settled[i] {
				spans = append(spans, spool.Span{First: i, End: i + 1})
			}
		}
		w.recycle(s)
	}
	wl.l.Return(w.a, wl.l.Partition(n), spans)
}

// restart forgets what is not durable: batches in queues, facts that no seal needed.
func (w *world) restart() {
	w.a = New(w.cfg)
	for _, wl := range w.lanes {
		var frontier spool.Index
		for i := range wl.taken() {
			frontier = max(frontier, i+1)
		}
		// Above it nothing is sealed or in the log any more: facts may begin there anew.
		maps.DeleteFunc(wl.home, func(i spool.Index, _ int32) bool { return i >= frontier })
		wl.prune()
		closed := wl.l.Closed
		wl.l = NewLane(wl.id, "topic", wl.log.end(), frontier, spool.Facts{
			Counts: slices.Clone(wl.durable.Counts), Sticky: slices.Clone(wl.durable.Sticky)})
		wl.l.Closed = closed
		for i := range wl.taken() {
			wl.l.claim(spool.Span{First: i, End: i + 1})
		}
		for _, n := range wl.numbers() {
			wl.l.Partition(n)
			for _, s := range append(slices.Clone(wl.parts[n].refusedMaybe), wl.parts[n].window...) {
				s.b = nil
			}
		}
		wl.feed = nil
	}
}

// prune is spool.State's: what no unsettled entry is under any more is not kept.
func (wl *worldLane) prune() {
	low := wl.low()
	for len(wl.durable.Counts) > 1 && wl.durable.Counts[1].From <= low {
		wl.durable.Counts = wl.durable.Counts[1:]
	}
	for len(wl.durable.Sticky) > 1 && wl.durable.Sticky[1].From <= low {
		wl.durable.Sticky = wl.durable.Sticky[1:]
	}
}

// recreate is what an operator ends after a topic was made anew: everything in doubt has left or goes
// back to the spool, and the lane begins again with the new topic.
func (w *world) recreate(wl *worldLane) {
	if wl.l.Partitions() == 0 {
		return
	}
	if wl.l.Closed = !wl.l.Closed; wl.l.Closed {
		return
	}
	delivered := w.p.Yes()
	for _, n := range wl.numbers() {
		part := wl.part(n)
		list := append(slices.Clone(part.refusedMaybe), part.window...)
		var spans []spool.Span
		for _, s := range list {
			if delivered {
				w.leave(wl, s.spans)
			} else {
				spans = append(spans, s.spans...)
			}
			w.recycle(s)
		}
		*part = worldPart{}
		wl.l.Return(w.a, wl.l.Partition(n), spans)
	}
	wl.topic = 1 + int32(w.p.Below(5))
	wl.l.ResetFacts(w.a, wl.topic)
	wl.durable, wl.feed = spool.Facts{}, nil
	clear(wl.home)
}

// drain lets everything go, and must come to an end.
func (w *world) drain() {
	w.a.Hurry = true
	entries := 0
	for _, wl := range w.lanes {
		wl.l.Closed = false
		wl.l.SetPartitions(7) // what was asked for by number exists at last
		for n := range int32(7) {
			wl.l.Block(w.a, wl.l.Partition(n), false)
		}
		entries += len(wl.log.entries)
	}
	for range 3*entries + 10 {
		for _, wl := range w.lanes {
			w.ask(wl)
			w.answer(wl)
			for n := range int32(7) {
				for w.seal(wl, n) {
				}
				for len(wl.part(n).window) > 0 {
					w.ack(wl, n)
				}
			}
		}
	}
	for _, wl := range w.lanes {
		for _, n := range wl.numbers() {
			for _, s := range wl.parts[n].refusedMaybe {
				w.leave(wl, s.spans)
			}
		}
		if low := wl.low(); low != wl.log.end() {
			w.t.Fatalf("entry %d of %d never came out", low, wl.log.end())
		}
	}
	if w.a.Used() != 0 {
		w.t.Fatalf("nothing is left, and %d bytes are still counted", w.a.Used())
	}
}
