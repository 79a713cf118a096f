package transaction

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

func TestTheCoordinatorIsAskedForItsViewOnlyAfterAChange(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(3, 0)
	w.run()
	later := func() {
		for range 200 {
			if !w.step() {
				w.now.Age += 500
				w.do(w.s.Tick(w.now))
			}
		}
	}
	later()
	v := w.s.Status(w.now).Transaction.Broker
	if v == nil || v.State != "Ongoing" || v.Coordinator != 1 || v.StartedAt != 5 || v.Identity.ID != protocol.ProducerID(7) {
		t.Fatalf("the coordinator's view is %+v", v)
	}
	at := v.At
	if later(); w.s.Status(w.now).Transaction.Broker.At != at {
		t.Errorf("it was asked again, and nothing has changed")
	}
	w.spooled(3, 0)
	w.run()
	if later(); w.s.Status(w.now).Transaction.Broker.At == at {
		t.Errorf("it was not asked again after another transaction")
	}
}
