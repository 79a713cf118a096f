package transaction

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// misplaced commits one record for a partition that topic b does not have.
func (w *world) misplaced() {
	id := spool.LaneID(1)
	c := &spool.Committed{Lanes: []spool.NewLane{{ID: id, Topic: w.topics[id]}}}
	b := spool.AppendEntry(nil, 1, 5, nil, []byte("v"), nil, spool.BodySize(nil, []byte("v"), nil))
	w.entries[id], w.next[id] = append(w.entries[id], b), 1
	c.Sections = append(c.Sections, spool.Section{Lane: id, Spans: []spool.Span{{First: 0, End: 1}}, Bytes: b})
	w.do(w.s.Committed(w.now, c))
}

// Law: a record that cannot be placed has the cut that is being filled given up, and nothing of the transaction before it,
// which is on its way or decided on: its records go once.
func TestAGivenUpCutLeavesTheOpenTransactionAlone(t *testing.T) {
	open, decided := 0, 0
	for seed := range uint64(200) {
		w := newWorld(t, seed, 1+int16(seed%2), "a", "b")
		w.longest = 1 << 30 // a transaction may be aborted
		w.spooled(1+int(seed%7), 0)
		for !slices.ContainsFunc(w.requests, func(r sender.Request) bool { return r.Kind == sender.KindProduce }) {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		w.now.Age += 500 // it takes no more now
		w.do(w.s.Tick(w.now))
		for range w.rng.IntN(8) { // at any moment of its end
			w.step()
		}
		switch {
		case w.s.sending != nil && len(w.s.sending.runs) > 0:
			open++
		case w.s.ending != nil && len(w.s.ending.runs) > 0:
			decided++
		}
		w.misplaced()
		began := w.now.Age
		for w.now.Age < began+3000 {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		if n := 1 + int(seed%7); w.settled[0] != n || w.committed != n {
			t.Fatalf("seed %d: %d records, %d left the spool within 3 s, %d are in committed transactions", seed, n, w.settled[0], w.committed)
		}
	}
	if open == 0 || decided == 0 {
		t.Errorf("the record came to %d open transactions and %d decided ones, want some of each", open, decided)
	}
}
