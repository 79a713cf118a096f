package sender_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// wentBack is a host whose partition has lost what was acked last, as after an unclean leader election.
func wentBack(t *testing.T) (*world, *modelPartition) {
	w, p := scenario(2)
	w.produce(1)
	w.delivered(t)
	w.produce(1)
	w.delivered(t)
	p.log = p.log[:1]
	p.hw = p.end()
	p.rebuild(5)
	return w, p
}

func restart(w *world) {
	cfg := scenarioCfg
	cfg.MetadataMaxAgeMs = 3000
	w.crash(cfg)
	w.produce(1)
}

// A leader that is cut off from the others is not the only one to be believed. Found by the simulated world.
func TestAnotherBrokerIsAskedWhoLeadsBeforeAPartitionIsParked(t *testing.T) {
	w, p := wentBack(t)
	leader, other := 0, 0 // how often the leader was asked for its producers, and then another broker for metadata
	w.drop = func(b int32, r sender.Request) bool {
		switch r.Message.(type) {
		case *kmsg.DescribeProducersRequest:
			leader++
		case *kmsg.MetadataRequest:
			if leader > 0 && b != p.leader && !w.parkOf().Parked() {
				other++
			}
		}
		return false
	}
	restart(w)
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkLogWentBack })
	if leader < 2 || other == 0 {
		t.Errorf("parked, and the leader was asked %d times, another broker %d times", leader, other)
	}
}

func TestAPartitionIsParkedAfterAWhileWhereNoOtherBrokerAnswers(t *testing.T) {
	w, p := wentBack(t)
	w.drop = func(b int32, _ sender.Request) bool { return b != p.leader }
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
