package transaction

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

// unreplicated is a world in which a transaction of 3 records was committed, and only the leader of its partition has the marker.
func unreplicated(t *testing.T, version int16) *world {
	t.Helper()
	w := newWorld(t, 1, version, "a")
	w.longest = 1 << 30
	w.spooled(3, 0)
	for w.committed == 0 {
		if !w.step() {
			w.pass(20)
		}
	}
	w.marks.behind = 1
	w.some()
	return w
}

func (w *world) pass(ms int64) {
	w.now.Age += ms
	w.do(w.s.Tick(w.now))
}

// some lets a lot happen.
func (w *world) some() {
	for range 200 {
		if !w.step() {
			w.pass(20)
		}
	}
}

// What a leader shows may be cut off while it is not replicated, and Kafka 4.3.1 does not write it again if nobody led in between. So
// nothing leaves the spool for it, and nothing is written behind it; once the marker is missing it is written.
func TestAMarkerThatOnlyItsLeaderHasIsNotSeen(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := unreplicated(t, version)
		w.spooled(2, 0)
		w.some()
		if w.committed != 3 || w.settled[0] != 0 || w.open["a"] > 0 {
			t.Fatalf("version %d: %d records are in committed transactions, want the first 3; %d have left and %d are in the open transaction, want none",
				version, w.committed, w.settled[0], w.open["a"])
		}
		w.marks.behind = 0
		w.marks.hangs["a"] = true // another broker leads, which does not have it
		w.run()
		if w.s.markers.healed != 1 || w.committed != 5 || len(w.marks.hangs) > 0 {
			t.Fatalf("version %d: %d markers were written, want 1; %d records are in committed transactions, want 5; markers are missing in %v",
				version, w.s.markers.healed, w.committed, w.marks.hangs)
		}
	}
}

func TestAMarkerIsSeenOnceItIsReplicated(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := unreplicated(t, version)
		w.marks.behind = 0
		w.run()
		if w.s.markers.healed > 0 || w.committed != 3 {
			t.Fatalf("version %d: %d markers were written, want none; %d records are in committed transactions, want 3", version, w.s.markers.healed, w.committed)
		}
	}
}

// Brokers that do not say where a log ends, perhaps because they are not Apache Kafka's, hold nothing up; those that cannot say so now do.
func TestWhatALeaderShowsCountsWhereItDoesNotSayWhereItsLogEnds(t *testing.T) {
	for code, goesOn := range map[protocol.ErrorCode]bool{
		protocol.InvalidRequest: true, protocol.ClusterAuthorizationFailed: true, protocol.UnsupportedVersion: true,
		protocol.TopicAuthorizationFailed: false, protocol.FencedLeaderEpoch: false, protocol.NotLeaderOrFollower: false, protocol.OffsetNotAvailable: false,
	} {
		w := unreplicated(t, 2)
		w.marks.debug = code
		w.some()
		if w.settled[0] == 3 != goesOn {
			t.Errorf("%v: %d of 3 records have left", code, w.settled[0])
		}
	}
}
