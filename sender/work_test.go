package sender

import (
	"testing"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/spool"
)

// busy are partitions that have something to do: their queues were passed over.
func busy(w *work, n int) (list []*partition) {
	acc := accumulator.New(accumulator.Config{BatchSize: 1024, BufferMemory: 1 << 20})
	l := accumulator.NewLane(0, "a", 100, 0, spool.Facts{})
	l.SetPartitions(int32(n))
	for k := range n {
		p := &partition{Machine: idempotence.New(l, int32(k))}
		l.Return(acc, p.Queue, []spool.Span{{First: spool.Index(k), End: spool.Index(k + 1)}})
		w.activate(p)
		list = append(list, p)
	}
	w.retire()
	return list
}

func TestACallLooksAtWhatWasTouchedAndAtWhatIsDueAlone(t *testing.T) {
	w := &work{call: &call{}}
	list := busy(w, 10)
	w.now.Age = 100
	w.setDue(list[3], 300)
	w.setDue(list[4], 200)
	w.setDue(list[5], 200)
	w.setDue(list[5], 400) // later, after all
	w.touch(list[7])
	w.touch(list[7])
	if len(w.touched) != 1 {
		t.Fatalf("%d looks for one partition, want 1", len(w.touched))
	}
	w.retire()
	if w.eff.WakeAt != 200 {
		t.Errorf("wake-up at %d, want 200: the first that is due", w.eff.WakeAt)
	}
	w.now.Age = 199
	if w.beginWork(); len(w.touched) != 0 {
		t.Errorf("%d looks before anything is due", len(w.touched))
	}
	w.now.Age = 300
	w.beginWork()
	if len(w.touched) != 2 || w.touched[0] != list[4] || w.touched[1] != list[3] {
		t.Errorf("%d looks, want those that are due at 200 and 300", len(w.touched))
	}
	w.retire()
	if w.beginWork(); len(w.touched) != 0 {
		t.Error("what was due is due once more")
	}
}

func TestAllAreLookedAtWhenAWayToALeaderMayBeThere(t *testing.T) {
	w := &work{call: &call{}}
	busy(w, 10)
	w.reachAgain(500)
	w.reachAgain(700)
	w.reachAgain(0)
	w.now.Age = 499
	w.beginWork()
	if w.touchAll(); len(w.touched) != 0 {
		t.Errorf("%d looks before the time", len(w.touched))
	}
	if w.retire(); w.eff.WakeAt != 500 {
		t.Errorf("wake-up at %d, want 500", w.eff.WakeAt)
	}
	w.now.Age = 500
	w.beginWork()
	if w.touchAll(); len(w.touched) != 10 {
		t.Errorf("%d looks, want all 10", len(w.touched))
	}
	w.retire()
	w.beginWork()
	if w.touchAll(); len(w.touched) != 0 {
		t.Errorf("%d looks in the next call, want none", len(w.touched))
	}
	w.allNext = true
	w.beginWork()
	if w.touchAll(); len(w.touched) != 10 {
		t.Errorf("%d looks in the call after all were waited for, want 10", len(w.touched))
	}
}

func TestWhatHasNothingToDoIsNotLookedAtAnyMore(t *testing.T) {
	w := &work{call: &call{}}
	list := busy(w, 4)
	idle := &partition{Machine: idempotence.New(list[0].Lane, 9)}
	w.activate(idle)
	w.setDue(idle, 100)
	w.activate(list[0])
	w.retire()
	if idle.active || len(w.active) != 4 || len(w.due) != 0 {
		t.Fatalf("active %v of %d, %d due; want it to have left", idle.active, len(w.active), len(w.due))
	}
	for k, p := range w.active {
		if p.place != k {
			t.Errorf("partition %d is at place %d and says %d", p.ID, k, p.place)
		}
	}
	if w.touch(idle); len(w.touched) != 0 {
		t.Error("it is looked at although it has nothing to do")
	}
}
