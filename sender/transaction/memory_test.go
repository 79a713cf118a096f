package transaction

import "testing"

// While a lane waits for memory, batches do not wait for company (linger.ms): there is no room for it.
func TestNothingLingersWhileThereIsNoMemory(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	w.s.enter(w.now)
	w.s.reader.waitForMemory(w.s.lanes[0])
	if e := w.s.end(); !w.s.acc.Hurry || e.WakeAt != w.now.Age+1 {
		t.Errorf("batches wait for company (%v), or the next look is at %d, now %d", w.s.acc.Hurry, e.WakeAt, w.now.Age)
	}
	w.s.enter(w.now)
	w.s.reader.release(noMemory)
	if w.s.end(); w.s.acc.Hurry {
		t.Error("batches do not wait for company, and there is memory")
	}
}
