package transaction

import (
	"strings"
	"testing"
)

// A partition has fewer in-sync replicas than it needs, for hours: where it is replicated to is not known. A transaction with records
// for it was taken for one that is too slow, its time-out was raised, and after two of the longest its topics were parked; all other
// topics waited with each of them, and the leader was asked six times a second.
func TestATopicWhoseLastEndIsNotSeenHoldsNothingElseUp(t *testing.T) {
	for _, version := range []int16{1, 2} {
		for _, denied := range []bool{false, true} {
			lastEndNotSeen(t, version, denied)
		}
	}
}

func lastEndNotSeen(t *testing.T, version int16, denied bool) {
	t.Helper()
	w := newWorld(t, 1, version, "a", "b")
	w.longest = 900_000
	w.spooled(1, 0)
	w.spooled(1, 1)
	w.run()
	w.marks.stuck, w.marks.denied = "a", denied
	w.spooled(1, 0)
	w.some() // it is sent, and its end is not seen
	asked := w.s.reqID
	for i := range 50 {
		w.spooled(1, 0)
		w.spooled(1, 1)
		for range 20 {
			w.some()
		}
		if i > 0 && w.settled[1] < 1+i {
			t.Fatalf("version %d: %d of %d records of the other topic have left", version, w.settled[1], w.next[1])
		}
	}
	passed := w.now.Age
	if n := int64(w.s.reqID-asked) - 50*20; n > passed/1000 {
		t.Errorf("version %d: %d requests within %d s", version, n, passed/1000)
	}
	st := w.s.Status(w.now)
	if a := st.Topics[0]; a.State != "waiting" || !strings.Contains(a.Trouble, "OFFSET_NOT_AVAILABLE") {
		t.Errorf("version %d: after %d s the topic is %s: %s; %s", version, passed/1000, a.State, a.Detail, a.Trouble)
	}
	if w.s.runner.pace.timeoutMs > 0 {
		t.Errorf("version %d: the time-out was raised to %d ms", version, w.s.runner.pace.timeoutMs)
	}
	w.marks.stuck = ""
	w.run()
	if w.committed != 103 {
		t.Fatalf("version %d: %d records are in committed transactions", version, w.committed)
	}
}
