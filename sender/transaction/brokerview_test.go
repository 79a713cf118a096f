package transaction

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
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

// A cluster without transaction.version, or with 0, has the protocol of version 1: the status has both.
func TestWhatTheClusterHasFinalizedIsShownBesideWhatRuns(t *testing.T) {
	for finalized, runs := range map[int16]int16{0: 1, 1: 1, 2: 2} {
		w := newWorld(t, 1, 1, "a")
		r := kmsg.NewPtrApiVersionsResponse()
		if finalized > 0 {
			f := kmsg.NewApiVersionsResponseFinalizedFeature()
			f.Name, f.MaxVersionLevel = "transaction.version", finalized
			r.FinalizedFeatures = append(r.FinalizedFeatures, f)
		}
		w.s.starter.onVersions(sender.Response{Message: r})
		if st := w.s.Status(w.now).Transaction; st.Version != runs || st.Finalized != finalized {
			t.Errorf("finalized is %d: the status says that %d runs and %d is finalized", finalized, st.Version, st.Finalized)
		}
	}
}
