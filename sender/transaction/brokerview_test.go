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

// The coordinator may have moved since the last transaction: the one that was it is asked, and then the one that is. It was shown as
// NOT_COORDINATOR until the next transaction.
func TestACoordinatorThatHasMovedIsLookedUpBeforeItsViewIsShown(t *testing.T) {
	for _, moved := range []bool{true, false} {
		w := newWorld(t, 1, 2, "a")
		w.spooled(3, 0)
		asked, found := 0, 0
		for range 400 {
			if len(w.requests) == 0 {
				w.now.Age += 500
				w.do(w.s.Tick(w.now))
				continue
			}
			r := w.requests[0]
			w.requests = w.requests[1:]
			w.now.Age++
			resp := w.answer(&r)
			switch m := resp.Message.(type) {
			case *kmsg.MetadataResponse:
				m.Brokers = append(m.Brokers, kmsg.MetadataResponseBroker{NodeID: 2})
			case *kmsg.FindCoordinatorResponse:
				if q := r.Message.(*kmsg.FindCoordinatorRequest); asked > 0 && q.CoordinatorType == 1 {
					if found++; moved && found > 1 { // the first who is asked does not know yet
						m.Coordinators[0].NodeID = 2
					}
				}
			case *kmsg.DescribeTransactionsResponse:
				if asked++; r.Broker == 1 {
					m.TransactionStates[0].ErrorCode = int16(protocol.NotCoordinator)
				}
			}
			w.do(w.s.Handle(w.now, resp))
			if v := w.s.Status(w.now).Transaction.Broker; moved && v != nil && v.Err != "" {
				t.Fatalf("after %d questions and %d look-ups the view is %+v", asked, found, v)
			}
		}
		switch v := w.s.Status(w.now).Transaction.Broker; {
		case moved && (v == nil || v.Coordinator != 2 || v.State == ""):
			t.Errorf("after %d questions and %d look-ups the view is %+v, want that of broker 2", asked, found, v)
		case !moved && (v == nil || v.Err != protocol.NotCoordinator.String()):
			t.Errorf("after %d questions and %d look-ups the view is %+v, want what all say", asked, found, v)
		}
		if asked > 20 {
			t.Errorf("moved %v: asked %d times", moved, asked)
		}
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
