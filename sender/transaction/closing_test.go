package transaction

import (
	"errors"
	"testing"

	"github.com/spoold/spoold/sender"
)

// What is open while the cluster is away cannot be ended: to close waits a second for it to come back, and not until its context ends.
func TestClosingDoesNotWaitForAClusterThatIsAway(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.longest = 1 << 30
	w.spooled(3, 0)
	for w.s.sending == nil || w.s.sending.unacked == 0 {
		if !w.step() {
			w.pass(20)
		}
	}
	away := errors.New("connection refused")
	w.do(w.s.Closing(w.now))
	fail := func() {
		for len(w.requests) > 0 {
			r := w.requests[0]
			w.requests = w.requests[1:]
			w.do(w.s.Handle(w.now, sender.Response{ID: r.ID, Err: away, Written: true}))
		}
	}
	fail()
	w.do(w.s.Disconnected(w.now, 1, away))
	waited := int64(0)
	for w.s.Busy() {
		if waited += 50; waited > 5000 {
			t.Fatal("it waits on and on")
		}
		w.pass(50)
		fail()
	}
	if waited < 900 || waited > 1500 {
		t.Errorf("it waited for %d ms, want a second", waited)
	}
}
