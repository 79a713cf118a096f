package transaction

import "testing"

// A topic was created anew while the marker of an abort in it was looked for: the new log is shorter than the one that was shown, of
// a leader with the same epoch, and its end was never reached.
func TestAShorterLogIsAnotherOne(t *testing.T) {
	for _, denied := range []bool{false, true} {
		w := unreplicated(t, 2)
		w.marks.denied = denied
		w.some()
		w.marks.behind, w.marks.end = 0, 12
		w.spooled(2, 0)
		w.some()
		if w.settled[0] != 5 {
			t.Errorf("without READ: %v; %d records have left, want 5", denied, w.settled[0])
		}
	}
}
