package transaction

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

// forgotten is a world in which a decided transaction with three records each in topics a and b was ended, all of its markers were
// lost, that of its progress too, and its coordinator does not know it any more.
func forgotten(t *testing.T, version int16) *world {
	w := newWorld(t, 1, version, "a", "b")
	w.longest = 1 << 30
	w.spooled(3, 0, 1)
	for range 10_000 {
		if w.disk.Decision.Open() && len(w.disk.Decision.Cut) > 0 {
			break
		}
		if !w.step() {
			w.pass(5)
		}
	}
	if d := &w.disk.Decision; len(d.Partitions) != 2 || d.Partitions[0].Last != 12 {
		t.Fatalf("version %d: on the disk is %+v", version, d)
	}
	w.marks.lose = 100
	w.marked(false) // or with commit: nobody can tell
	w.marks.lose = 0
	w.epoch += 2
	w.marks.forgot = true
	clear(w.open)
	w.restarted(version)
	return w
}

// Nothing has ended it: it is aborted, and its records go again.
func TestATransactionThatIsOpenEverywhereIsAborted(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := forgotten(t, version)
		w.run()
		if w.committed != 6 || w.settled[0] != 3 || w.settled[1] != 3 || len(w.disk.Parked)+len(w.marks.hangs) > 0 || w.s.markers.healed != 2 {
			t.Errorf("version %d: %d committed, settled %v, parked %+v, markers missing %v, written %d", version, w.committed, w.settled, w.disk.Parked, w.marks.hangs, w.s.markers.healed)
		}
	}
}

// In one partition it is not open: it was ended there, or it is not known. An operator is asked.
func TestATransactionThatIsNotOpenEverywhereIsParked(t *testing.T) {
	for name, change := range map[string]func(*world){
		"the log of one says nothing": func(w *world) { w.marks.first = 11 },
		"another one is open there":   func(w *world) { w.marks.start = 13 },
		"it may not be read":          func(w *world) { w.marks.denied = true },
		"an older program wrote it": func(w *world) {
			w.disk.Decision.Partitions[1].Last = protocol.NoOffset
			w.restarted(2)
		},
		"it was not spooled": func(w *world) {
			w.disk.Decision.Cut = nil
			w.restarted(2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := forgotten(t, 2)
			change(w)
			for range 10_000 {
				if len(w.disk.Parked) > 0 {
					return
				}
				if !w.step() {
					w.pass(20)
				}
			}
			t.Fatalf("it is not parked, but %+v", w.disk.Decision)
		})
	}
}

// A leader that does not say which transactions are open is asked again.
func TestALeaderIsAskedAgainWhatIsOpen(t *testing.T) {
	w := forgotten(t, 2)
	w.marks.moving = 3
	w.run()
	if w.committed != 6 || len(w.disk.Parked) > 0 || w.marks.moving > 0 {
		t.Errorf("%d committed, parked %+v, %d answers are left", w.committed, w.disk.Parked, w.marks.moving)
	}
}
