package sender_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// wentBack is a host whose partition has lost what was acked last, as after an unclean leader election; and who leads it.
func wentBack(t *testing.T) (*world, int32) {
	w := scenario(2)
	w.acked(t, 1)
	w.acked(t, 1)
	w.until(t, "replication", w.Cluster.Quiet)
	broker.Lose(w.Cluster, "a", 0, 1)
	return w, w.Cluster.Leader("a", 0)
}

func restart(w *world) {
	cfg := scenarioCfg
	cfg.MetadataMaxAgeMs = 3000
	w.crash(cfg)
	w.produce(1)
}

// A leader that is cut off from the others is not the only one to be believed. Found by the simulated world.
func TestAnotherBrokerIsAskedWhoLeadsBeforeAPartitionIsParked(t *testing.T) {
	w, leader := wentBack(t)
	asked, others := 0, 0 // how often the leader was asked for its producers, and then another broker for metadata
	w.drop = func(b int32, r sender.Request) bool {
		switch r.Message.(type) {
		case *kmsg.DescribeProducersRequest:
			asked++
		case *kmsg.MetadataRequest:
			if asked > 0 && b != leader && !w.parkOf().Parked() {
				others++
			}
		}
		return false
	}
	restart(w)
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkLogWentBack })
	if asked < 2 || others == 0 {
		t.Errorf("parked, and the leader was asked %d times, another broker %d times", asked, others)
	}
}

func TestAPartitionIsParkedAfterAWhileWhereNoOtherBrokerAnswers(t *testing.T) {
	w, leader := wentBack(t)
	w.drop = func(b int32, _ sender.Request) bool { return b != leader }
	restart(w)
	w.run(2500)
	if w.parkOf().Parked() {
		t.Errorf("parked before metadata.max.age.ms had passed: %+v", w.parkOf())
	}
	w.run(2000)
	if w.parkOf().Reason != spool.ParkLogWentBack {
		t.Errorf("not parked long after: %+v", w.parkOf())
	}
}
