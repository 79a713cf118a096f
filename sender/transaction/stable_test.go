package transaction

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
)

// Without the right to read a topic, the last stable offset shows that a transaction has ended.
func TestWithoutReadTheLastStableOffsetShowsTheEnd(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := newWorld(t, 1, version, "a", "b")
		w.marks.denied = true
		for range 20 {
			w.spooled(2, 0, 1)
		}
		w.run()
		if w.committed != 80 || len(w.disk.Unconfirmed) > 0 || w.s.markers.healed > 0 {
			t.Fatalf("version %d: %d committed, unconfirmed %v, %d markers written", version, w.committed, w.disk.Unconfirmed, w.s.markers.healed)
		}
	}
}

// The marker of a commit was lost, and the process that wrote it ended. The next one has no right to read the topic: it took the marker
// for seen, and the next abort there ended what was committed.
func TestWithoutReadAStartFindsALostMarker(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.longest, w.marks.denied = 1<<30, true
		w.restarted(version)
		w.spooled(2, 0)
		w.some()
		if w.settled[0] != 0 {
			t.Fatalf("version %d: %d records have left before the marker is there", version, w.settled[0])
		}
		w.run()
		if w.committed != 5 || w.settled[0] != 5 || len(w.marks.hangs)+len(w.disk.Unconfirmed) > 0 || w.s.markers.healed != 1 {
			t.Fatalf("version %d: %d committed, %d settled, markers missing %v, unconfirmed %v, written %d",
				version, w.committed, w.settled[0], w.marks.hangs, w.disk.Unconfirmed, w.s.markers.healed)
		}
	}
}

// A former process had seen its commit, and its next transaction was aborted: that marker is lost.
func TestWithoutReadAStartFindsALostAbortBehindACommit(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.longest, w.marks.denied, w.marks.start = 1<<30, true, 15
		w.marks.hangs["a"] = false
		w.restarted(version)
		w.spooled(1, 0)
		w.run()
		if w.committed != 4 || w.settled[0] != 4 || len(w.marks.hangs)+len(w.disk.Unconfirmed) > 0 || w.s.markers.healed != 1 {
			t.Errorf("version %d: %d committed, %d settled, markers missing %v, unconfirmed %v, written %d",
				version, w.committed, w.settled[0], w.marks.hangs, w.disk.Unconfirmed, w.s.markers.healed)
		}
	}
}

// A transaction of another producer holds the last stable offset back. Records wait for it, and the topic says why.
func TestWithoutReadRecordsWaitForTransactionsOfOthers(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.longest, w.marks.denied, w.marks.others = 1<<30, true, 15
	w.spooled(3, 0)
	for range 20 {
		w.some()
	}
	if w.settled[0] != 0 {
		t.Fatalf("%d records have left", w.settled[0])
	}
	if st := w.s.Status(w.now).Topics[0]; !strings.Contains(st.Trouble, "grant READ") {
		t.Errorf("the topic's trouble is %q", st.Trouble)
	}
	w.marks.others = 0
	w.run()
	if w.committed != 3 || w.settled[0] != 3 {
		t.Fatalf("%d committed, %d settled", w.committed, w.settled[0])
	}
}

// A right that is given while the last stable offset is waited for lets nothing unreplicated pass, nor the other way round.
func TestRightsThatComeAndGoLetNothingUnreplicatedPass(t *testing.T) {
	w := unreplicated(t, 2)
	for i := range 10 {
		w.marks.denied = i%2 == 0
		w.some()
		if w.settled[0] != 0 {
			t.Fatalf("change %d: %d records have left, and only the leader has the marker", i, w.settled[0])
		}
	}
	w.marks.behind = 0
	w.run()
	if w.committed != 3 || w.settled[0] != 3 {
		t.Fatalf("%d committed, %d settled", w.committed, w.settled[0])
	}
}

// A broker that gives no last stable offset is asked again at a measured pace.
func TestWithoutReadABrokerThatSaysNothingIsAskedSlowly(t *testing.T) {
	w := lostMarker(t, 2)
	w.longest, w.marks.denied, w.marks.debug = 1<<30, true, protocol.LeaderNotAvailable
	before := w.s.reqID
	for range 1000 {
		w.step()
		w.pass(1)
	}
	if n := w.s.reqID - before; n > 200 || w.settled[0] != 0 {
		t.Fatalf("%d requests within a second, %d records have left", n, w.settled[0])
	}
}

// The log's start was raised into a committed transaction whose marker was lost, and the broker has started again since: the
// transaction begins with the first record that is left of it. That was taken for a later one, which was to be aborted.
func TestTheRestOfATransactionIsNoLaterOne(t *testing.T) {
	for _, version := range []int16{1, 2} {
		for _, denied := range []bool{false, true} {
			for _, last := range []protocol.Offset{12, protocol.NoOffset} { // an older program has not written it down
				w := lostMarker(t, version)
				w.longest, w.marks.denied = 1<<30, denied
				w.marks.first, w.marks.start, w.marks.epoch = 12, 12, int32(w.disk.Unconfirmed[0].Identity.Epoch)
				w.disk.Unconfirmed[0].Partitions[0].Last = last
				w.restarted(version)
				w.spooled(1, 0)
				w.run()
				if w.committed != 4 || w.settled[0] != 4 || len(w.marks.hangs)+len(w.disk.Unconfirmed) > 0 || w.s.markers.healed != 1 {
					t.Errorf("version %d, without READ: %v, last %d: %d committed, %d settled, markers missing %v, unconfirmed %v, written %d",
						version, denied, last, w.committed, w.settled[0], w.marks.hangs, w.disk.Unconfirmed, w.s.markers.healed)
				}
			}
		}
	}
}

// The log begins behind a committed transaction, and the marker of an aborted one behind that was lost. It was taken for the rest of
// the committed one, and its records came twice.
func TestALaterTransactionIsKnownByItsOffset(t *testing.T) {
	for _, version := range []int16{1, 2} {
		for _, denied := range []bool{false, true} {
			w := lostMarker(t, version)
			if last := w.disk.Unconfirmed[0].Partitions[0].Last; last != 12 {
				t.Fatalf("its last record has offset %d, want 12", last)
			}
			w.longest, w.marks.denied = 1<<30, denied
			w.marks.first, w.marks.start, w.marks.epoch = 13, 14, int32(w.disk.Unconfirmed[0].Identity.Epoch)
			w.marks.hangs["a"] = false
			w.restarted(version)
			w.spooled(1, 0)
			w.run()
			if w.committed != 4 || w.settled[0] != 4 || len(w.marks.hangs)+len(w.disk.Unconfirmed) > 0 || w.s.markers.healed != 1 {
				t.Errorf("version %d, without READ: %v: %d committed, %d settled, markers missing %v, unconfirmed %v, written %d",
					version, denied, w.committed, w.settled[0], w.marks.hangs, w.disk.Unconfirmed, w.s.markers.healed)
			}
		}
	}
}
