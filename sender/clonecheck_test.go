package sender_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	sim "github.com/spoold/spoold/integration/sim/world"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// spread is a host and a topic of several partitions on two brokers.
func spread(seed uint64, partitions int, cfg sender.Config) *world {
	w := newWorld(broker.Config{Seed: seed, Brokers: 2})
	w.topics = []string{"a"}
	w.Cluster.CreateTopic("a", partitions, 1, broker.TopicConfig{})
	cfg.Seed = seed
	w.start(cfg)
	w.run(30)
	return w
}

// original delivers some records without keys to a topic of six partitions, and has a few more that wait for their batch. It
// returns its disk as it is then: what the original sends from there on, a copy holds as pending, and would send to other partitions.
func original(t *testing.T, seed uint64, delivered, waiting int) (w *world, copied *sim.Saved) {
	t.Helper()
	cfg := scenarioCfg
	cfg.LingerMs, cfg.BatchSize = 50, 1000
	w = spread(seed, 6, cfg)
	w.acked(t, delivered)
	w.produce(waiting)
	w.run(10)
	return w, w.Save()
}

// copied has the original deliver everything, and puts the copy in its place. Found by the simulated world.
func copied(t *testing.T, seed uint64) *world {
	t.Helper()
	w, c := original(t, seed, 3, 40)
	if len(c.Recovered().Seals) > 0 {
		t.Fatalf("seed %d: the copy has something in doubt", seed)
	}
	w.delivered(t)
	w.PutBack(c)
	w.Sent = nil
	return w
}

func (w *world) noticed(t *testing.T, seed uint64) {
	t.Helper()
	w.run(5000)
	var stopped *sender.StoppedError
	if !errors.As(w.Stopped(), &stopped) {
		w.fail(t, "seed %d: the copy was not noticed: %v", seed, w.Stopped())
	}
	w.check(t)
}

// sentNothingNew wants all that was sent to be under the former start's producer id.
func (w *world) sentNothingNew(t *testing.T, seed uint64, former protocol.ProducerIdentity) {
	t.Helper()
	for _, c := range w.Sent {
		if id := c.Batches[0].Identity; id.ID != former.ID {
			t.Fatalf("seed %d: the copy sent something as %v before it was noticed", seed, id)
		}
	}
}

func TestACopyIsNoticedBeforeItSendsWhatTheOriginalHasSent(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		w := copied(t, seed)
		w.start(scenarioCfg)
		w.noticed(t, seed)
	}
}

// A start that ends between two steps leaves to the next one what it takes to notice the copy. What it noticed itself may not
// have become durable. One of the leaders is slow to answer.
func TestACopyIsNoticedHoweverOftenItsStartIsInterrupted(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		w := copied(t, seed)
		slow := int32(seed % 2)
		for range 4 {
			w.Cluster.Pause(slow)
			w.crash(scenarioCfg)
			w.run(w.rng.Int64N(60))
			w.Cluster.Resume(slow)
		}
		w.Cluster.Pause(slow)
		w.crash(scenarioCfg)
		w.run(50)
		w.Cluster.Resume(slow)
		w.noticed(t, seed)
	}
}

// It may be forbidden at a start to describe the topic. Once it is allowed, one of the leaders is slow to answer.
func TestACopyIsNoticedWhereTheTopicMayNotBeDescribedAtItsStart(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		w := copied(t, seed)
		w.Cluster.Deny(broker.Describe, "a", true)
		w.start(scenarioCfg)
		w.run(200)
		w.crash(scenarioCfg)
		w.run(200)
		w.Cluster.Deny(broker.Describe, "a", false)
		w.Cluster.Pause(int32(seed % 2))
		w.run(100)
		w.Cluster.Resume(int32(seed % 2))
		w.noticed(t, seed)
	}
}

// The broker that is asked first may lack partitions that the original went on with. Found by the simulated world.
func TestACopyIsNoticedWhereAStaleBrokerShowsFewerPartitions(t *testing.T) {
	cases := 0
	for seed := uint64(1); cases < 30; seed++ {
		if seed > 200 {
			t.Fatalf("only %d of %d seeds have a partition that the broker does not show", cases, seed-1)
		}
		w, c := original(t, seed, 2000, 8)
		var before [6]int
		for p := range before {
			before[p] = len(w.batches(int32(p)))
		}
		w.delivered(t)
		few := 0
		for len(w.batches(int32(few))) == before[few] {
			few++
		}
		found := c.Recovered()
		if few == 0 || len(found.Seals) > 0 {
			continue
		}
		cases++
		w.PutBack(c)
		w.Sent = nil
		w.editTopics(everyBroker, func(t *kmsg.MetadataResponseTopic) { t.Partitions = t.Partitions[:min(few, len(t.Partitions))] })
		w.start(scenarioCfg)
		w.run(200)
		w.Edit = nil
		w.noticed(t, seed)
		w.sentNothingNew(t, seed, found.Former)
	}
}

// The broker that is asked first may lack a topic that was made after it was cut off from the others, and the copy
// is older than all that was sent there. Found by the simulated world.
func TestACopyIsNoticedWhereAStaleBrokerHasNoTopicAtItsStart(t *testing.T) {
	for seed := uint64(1); seed <= 40; seed++ {
		w, _ := original(t, seed, 3, 0)
		w.Cluster.CreateTopic("b", 6, 1, broker.TopicConfig{})
		w.topics = []string{"b"}
		w.produce(2) // the original uses one of the partitions
		w.run(10)
		c := w.Save()
		w.delivered(t)
		w.PutBack(c)
		w.Sent = nil
		stale := int32(seed % 2)
		w.editTopics(func(from int32) bool { return from == stale }, func(t *kmsg.MetadataResponseTopic) {
			t.ErrorCode, t.TopicID, t.Partitions = int16(protocol.UnknownTopicOrPartition), [16]byte{}, nil
		})
		cfg := scenarioCfg
		cfg.Seed = 100 + seed // so that it takes another one
		w.start(cfg)
		w.run(int64(seed) * 5) // whichever is asked first
		w.Edit = nil
		w.noticed(t, seed)
		w.sentNothingNew(t, seed, c.Recovered().Former)
	}
}

// A topic that no broker has does not hold up the others.
func TestATopicThatIsNotThereDelaysAStartByNoMoreThanASecondWord(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		w, _ := original(t, seed, 3, 20)
		w.Append(record("gone", "gone"))
		w.run(10)
		w.crash(scenarioCfg)
		w.run(500)
		if n := w.Pending(); n != 1 {
			t.Fatalf("seed %d: %d records are pending after half a second, want the one of the missing topic alone", seed, n)
		}
	}
}

// A leader that never answers does not hold up the others for ever.
func TestTheCloneCheckWaitsForALeaderNoLongerThanForARequest(t *testing.T) {
	cfg := scenarioCfg
	cfg.RequestTimeoutMs = 1000
	seed := uint64(1)
	w := spread(seed, 2, cfg)
	for w.Cluster.Leader("a", 0) == w.Cluster.Leader("a", 1) {
		seed++
		w = spread(seed, 2, cfg)
	}
	w.keys = 8
	w.acked(t, 20)
	w.run(50)
	w.drop = func(int32, sender.Request) bool { return true }
	w.produce(20)
	w.run(10)
	former := w.Recovered().Former
	w.Kill()
	silent := w.Cluster.Leader("a", 1)
	w.drop, w.hold = nil, func(b int32, _ sender.Request) bool { return b == silent }
	anew := func() bool {
		return slices.ContainsFunc(w.Sent, func(c sim.Copy) bool { return c.Batches[0].Identity.ID != former.ID })
	}
	w.start(cfg)
	w.produce(20)
	w.run(900)
	if anew() {
		t.Fatal("something new was sent before all leaders had been asked")
	}
	w.run(4000) // the silent one may be asked for a producer id, too
	if !anew() {
		w.fail(t, "nothing new is sent to the leader that answers")
	}
	if !slices.Contains(w.Events, sender.Event(sender.CopyUnchecked{Unasked: 1})) {
		t.Errorf("reported %v, want that one partition was not asked", w.Events)
	}
}

// A refused record raises a partition's epoch, and the next start stays with that producer id there, so as to shut out what was
// sent under the former epoch. That is no way past the clone check. Found by the simulated world.
func TestNothingIsSentUnderARaisedEpochBeforeTheCloneCheck(t *testing.T) {
	cases := 0
	for seed := uint64(1); cases < 20; seed++ {
		if seed > 200 {
			t.Fatalf("only %d of %d seeds have a raised epoch that nothing was sent under", cases, seed-1)
		}
		cfg := scenarioCfg
		cfg.LingerMs, cfg.RequestTimeoutMs, cfg.BatchSize = 50, 2000, 1000
		w := spread(seed, 6, cfg)
		w.acked(t, 3)
		w.configure(func(c *broker.TopicConfig) { c.Refuse = all })
		w.acked(t, 1)
		w.configure(func(c *broker.TopicConfig) { c.Refuse = nil })
		w.produce(40)
		w.run(10)
		rec := w.Recovered()
		k := slices.IndexFunc(rec.Partitions, func(p spool.PartitionState) bool {
			return p.Identity.Epoch > 0 && p.Settled == protocol.NoSequence
		})
		if k < 0 || len(rec.Seals) > 0 {
			continue
		}
		raised := w.Cluster.Leader("a", rec.Partitions[k].Partition)
		others := false
		for p := range int32(6) {
			others = others || w.Cluster.Leader("a", p) != raised
		}
		if !others {
			continue
		}
		cases++
		w.Kill()
		w.hold, w.Sent = func(b int32, _ sender.Request) bool { return b != raised }, nil
		w.start(cfg)
		w.run(1000)
		if len(w.Sent) > 0 {
			t.Fatalf("seed %d: sent as %v before all leaders had been asked", seed, w.Sent[0].Batches[0].Identity)
		}
	}
}

// A broker that is cut off from the others goes on saying that it leads. A start has what metadata said of later reigns,
// also where nothing was sent since. Found by the simulated world.
func TestAStartRemembersTheReignThatMetadataShowedLast(t *testing.T) {
	w := scenario(2)
	w.acked(t, 3)
	w.Cluster.Move("a", 0, 1-w.Cluster.Leader("a", 0))
	w.run(310_000) // longer than metadata.max.age.ms
	w.until(t, "a write of the reign", func() bool { return w.partition().LeaderEpoch == 1 })
}
