package sender_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	sim "github.com/spoold/spoold/integration/sim/world"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// threeInDoubt is a host that had three batches on the wire, one record each, behind five that were acked, when its process was
// killed; and the last of the three, as it was sent.
func threeInDoubt(t *testing.T, cfg broker.Config) (*world, *sim.Copy) {
	w := scenarioOf(cfg, broker.TopicConfig{})
	w.acked(t, 5)
	w.Sent, w.hold = nil, isProduce
	for n := range 3 {
		w.produce(1)
		w.until(t, "its copy", func() bool { return len(w.Sent) > n })
	}
	w.until(t, "their arrival", func() bool { return len(w.log()) == 4 })
	last := slices.MaxFunc(w.Sent, func(a, b sim.Copy) int { return int(a.Batches[0].Base) - int(b.Batches[0].Base) })
	if last.Batches[0].Base < 6 {
		t.Fatal("the batches were not sent apart")
	}
	w.hold = nil
	w.Kill()
	return w, &last
}

// parksAll has the next process start, and wants it to park its partition with nothing settled.
func (w *world) parksAll(t *testing.T, reason string) {
	t.Helper()
	before := w.Pending()
	w.start(scenarioCfg)
	w.until(t, "a park", func() bool { return w.parkOf().Parked() })
	w.run(100) // until that is on the disk
	if w.Pending() != before || w.parkOf().Reason != reason {
		t.Errorf("parked for %+v with %d records pending, want %s and %d", w.parkOf(), w.Pending(), reason, before)
	}
}

// A topic that was created anew takes a batch that arrives late for its first one, where Produce goes by name, whatever its
// sequence. What the leader then says of the producer says nothing of the batches before. Found by the simulated world.
func TestNothingIsSettledForALaterBatchInTheLogOfAnotherTopic(t *testing.T) {
	w, late := threeInDoubt(t, broker.Config{ProduceMax: 11})
	former := w.id("a")
	w.recreate(1)
	w.Pass(12)
	w.editTopics(everyBroker, func(t *kmsg.MetadataResponseTopic) { t.TopicID = former }) // metadata is old
	w.Arrive(late)
	w.Pass(5)
	if n := len(w.log()); n != 1 {
		t.Fatalf("%d batches in the new topic, want the late one", n)
	}
	w.parksAll(t, spool.ParkLogWentBack)
}

// A broker whose log was emptied forgets its producers when it cuts or reads it, and then takes a late batch for a producer's
// first one. There is no room in the log for those before. Found by the simulated world.
func TestNothingIsSettledForALaterBatchOfAForgottenProducer(t *testing.T) {
	w, late := threeInDoubt(t, broker.Config{})
	broker.Lose(w.Cluster, "a", 0, 5)
	w.Cluster.Retain("a", 0, 0)
	w.restartBroker(t, 0)
	w.Arrive(late)
	w.Pass(5)
	w.parksAll(t, spool.ParkStateForgotten)
}

// A log that lost what it had (an unclean election), or that was never the one which was asked: a topic was created anew, and a
// broker without news of it said where the former one ends. Found by the simulated world: it was asked for ever.
func TestALogThatEndsBelowWhereItIsToBeReadParks(t *testing.T) {
	w, _ := threeInDoubt(t, broker.Config{})
	broker.Lose(w.Cluster, "a", 0, 0)
	w.parksAll(t, spool.ParkLogWentBack)
}

// A broker that has forgotten the producer takes whatever comes first, so that one is sent at a time; also when what it refused,
// the first question after it had forgotten, is cut in two. Found by the simulated world: the second half overtook the first.
func TestHalvesGoOneByOneToABrokerThatForgotTheProducer(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.Cluster.Deny(broker.Write, "a", true)
	w.produce(5)
	w.until(t, "the refusal", func() bool {
		_, refused := w.Events[len(w.Events)-1].(sender.TopicTrouble)
		return refused // so nothing is in doubt
	})
	w.Cluster.Retain("a", 0, 0)
	w.restartBroker(t, 0)
	first := ""
	w.configure(func(c *broker.TopicConfig) {
		c.Refuse = func(v []byte) bool { // the first record, so one in the first half
			if first == "" {
				first = string(v)
			}
			return string(v) == first
		}
	})
	w.Cluster.Deny(broker.Write, "a", false)
	w.until(t, "delivery of everything", func() bool { return w.Pending() == 0 || w.parkOf().Parked() })
	if w.parkOf().Parked() || w.dead() != 1 {
		t.Errorf("%d dead letters, parked for %+v, want the refused record alone", w.dead(), w.parkOf())
	}
	w.check(t)
}

// A broker without news of a topic's new incarnation answers with the former one, and is believed when it does so twice. Then
// the others are asked: it is the topic that it was, records for other partitions go on, and what had waited
// meanwhile must not be spread anew behind them. Found by the simulated world.
func TestATopicThatWasTheSameAfterAllKeepsItsOrder(t *testing.T) {
	for _, restarted := range []bool{true, false} {
		w := scenario(1)
		w.keys = 30
		w.acked(t, 20)
		w.otherID()
		w.drop = isProduce // so these are in doubt
		w.produce(20)
		w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
		w.run(100) // until that is on the disk
		w.drop, w.Edit = nil, nil
		w.Cluster.Grow("a", 4)
		if restarted {
			w.crash(scenarioCfg)
		}
		w.run(310_000) // longer than metadata.max.age.ms
		w.produce(60)
		w.run(1000)
		w.resolve(t, -1, sender.ResolveResend)
		w.delivered(t)
	}
}
