package sender_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// original delivers some records without keys to a topic of six partitions, and has a few more that wait for their batch. It
// gives its disk as it is now: what the original sends from here on, a copy holds as pending, and would send to other partitions.
func original(t *testing.T, seed uint64, delivered, waiting int) (w *world, copied *modelSpool) {
	w = newWorld(seed, 2)
	w.topics, w.keys = []string{"a"}, 0
	w.cluster.create("a", 6)
	cfg := scenarioCfg
	cfg.LingerMs, cfg.BatchSize, cfg.Seed = 50, 1000, seed
	w.start(cfg)
	w.run(20)
	w.produce(delivered)
	w.delivered(t)
	w.produce(waiting)
	w.run(10)
	return w, w.disk.clone()
}

// copied has the original deliver everything, and puts the copy in its place. Found by the simulated world.
func copied(t *testing.T, seed uint64) *world {
	w, c := original(t, seed, 3, 40)
	if len(c.recovered().Seals) > 0 {
		t.Fatalf("seed %d: the copy has something in doubt", seed)
	}
	w.delivered(t)
	w.disk, w.seen = c, nil
	return w
}

func (w *world) untilStopped(t *testing.T, seed uint64) {
	t.Helper()
	w.run(5000)
	var stopped *sender.StoppedError
	if !errors.As(w.fatal, &stopped) {
		t.Fatalf("seed %d: the copy was not noticed: %v", seed, w.fatal)
	}
	w.check(t)
}

// sentNothingNew wants all that was sent to be under the former start's producer id.
func (w *world) sentNothingNew(t *testing.T, seed uint64, former protocol.ProducerIdentity) {
	t.Helper()
	for _, r := range w.seen {
		if id := r.Batches[0].Identity; id.ID != former.ID {
			t.Fatalf("seed %d: the copy sent something as %v before it was noticed", seed, id)
		}
	}
}

func TestACopyIsNoticedBeforeItSendsWhatTheOriginalHasSent(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		w := copied(t, seed)
		w.crash(scenarioCfg)
		w.untilStopped(t, seed)
	}
}

// A start that ends between two steps leaves to the next one what it takes to notice the copy.
func TestACopyIsNoticedHoweverOftenItsStartIsInterrupted(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		w := copied(t, seed)
		for range 4 {
			w.crash(scenarioCfg)
			for range w.rng.IntN(30) {
				w.step()
			}
			w.fatal = nil // nor was that it had noticed made durable
		}
		w.crash(scenarioCfg)
		w.untilStopped(t, seed)
	}
}

// What a topic's partitions are may not be told at a start.
func TestACopyIsNoticedWhereTheTopicMayNotBeDescribedAtItsStart(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		w := copied(t, seed)
		w.cluster.hidden = true
		w.crash(scenarioCfg)
		w.run(200)
		w.crash(scenarioCfg)
		w.run(200)
		w.cluster.hidden = false
		w.untilStopped(t, seed)
	}
}

// The broker that is asked first may not have heard of all partitions, and tell of none that the original went on with.
// Found by the simulated world.
func TestACopyIsNoticedWhereAStaleBrokerShowsFewerPartitions(t *testing.T) {
	cases := 0
	for seed := uint64(1); cases < 30; seed++ {
		if seed > 200 {
			t.Fatalf("only %d of %d seeds have a partition that the broker does not tell of", cases, seed-1)
		}
		w, c := original(t, seed, 2000, 8)
		parts := w.cluster.topics["a"].parts
		var before []int
		for _, p := range parts {
			before = append(before, len(p.log))
		}
		w.delivered(t)
		for w.cluster.few = 0; len(parts[w.cluster.few].log) == before[w.cluster.few]; w.cluster.few++ {
		}
		if w.cluster.few == 0 || c.recovered().Seals != nil {
			continue
		}
		cases++
		w.disk, w.seen = c, nil
		former := c.recovered().Former
		w.crash(scenarioCfg)
		w.run(200)
		w.cluster.few = 0
		w.untilStopped(t, seed)
		w.sentNothingNew(t, seed, former)
	}
}

// The broker that is asked first may not have heard of a topic that was made after it was cut off from the others, and the copy
// is older than all that was sent there. Found by the simulated world.
func TestACopyIsNoticedWhereAStaleBrokerTellsOfNoTopicAtItsStart(t *testing.T) {
	for seed := uint64(1); seed <= 40; seed++ {
		w, _ := original(t, seed, 3, 0)
		w.cluster.create("b", 6)
		w.topics = []string{"b"}
		w.produce(2) // the original uses one of the partitions
		w.run(10)
		c := w.disk.clone()
		w.delivered(t)
		w.disk, w.seen = c, nil
		former := c.recovered().Former
		w.cluster.unheard = 1 + int32(seed%2)
		cfg := scenarioCfg
		cfg.Seed = 100 + seed // so that it takes another one
		w.crash(cfg)
		w.run(int64(seed) * 5) // whoever is asked first
		w.cluster.unheard = 0
		w.untilStopped(t, seed)
		w.sentNothingNew(t, seed, former)
	}
}

// A topic that no broker has heard of does not hold up the others.
func TestATopicThatIsNotThereDelaysAStartByNoMoreThanASecondWord(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		w, _ := original(t, seed, 3, 20)
		w.topics = []string{"gone"}
		w.produce(1)
		w.run(10)
		w.topics = []string{"a"}
		w.crash(scenarioCfg)
		w.run(500)
		if n := w.pending(); n != 1 {
			t.Fatalf("seed %d: %d records are pending after half a second, want the one of the missing topic alone", seed, n)
		}
	}
}

// A leader that never answers does not hold up the others for ever.
func TestTheCloneCheckWaitsForALeaderNoLongerThanForARequest(t *testing.T) {
	w := newWorld(1, 2)
	w.topics, w.keys = []string{"a"}, 8
	w.cluster.create("a", 2)
	cfg := scenarioCfg
	cfg.RequestTimeoutMs = 1000
	w.start(cfg)
	w.run(20)
	w.produce(20)
	w.delivered(t)
	w.run(50)
	w.drop = func(int32, sender.Request) bool { return true }
	w.produce(20)
	w.run(10)
	w.drop = nil
	silent := w.cluster.topics["a"].parts[1].leader
	w.hold = func(b int32, _ sender.Request) bool { return b == silent }
	former := w.disk.recovered().Former
	anew := func() bool {
		return slices.ContainsFunc(w.seen, func(r sender.Request) bool { return r.Batches[0].Identity.ID != former.ID })
	}
	w.crash(cfg)
	w.produce(20)
	w.run(900)
	if anew() {
		t.Fatal("something new was sent before all leaders had been asked")
	}
	w.run(1000)
	if !anew() {
		t.Fatal("nothing new is sent to the leader that answers")
	}
	if !slices.Contains(w.told, sender.Event(sender.CopyUnchecked{Unasked: 1})) {
		t.Errorf("told %v, want that one partition was not asked", w.told)
	}
}

// A refused record raises a partition's epoch, and the next start stays with that producer id there, so as to shut out what was
// sent under the former epoch. That is no way past the clone check. Found by the simulated world.
func TestNothingIsSentUnderARaisedEpochBeforeTheRollCallIsOver(t *testing.T) {
	cases := 0
	for seed := uint64(1); cases < 20; seed++ {
		if seed > 200 {
			t.Fatalf("only %d of %d seeds have a raised epoch that nothing was sent under", cases, seed-1)
		}
		w := newWorld(seed, 2)
		w.topics, w.keys = []string{"a"}, 0
		w.cluster.create("a", 6)
		cfg := scenarioCfg
		cfg.LingerMs, cfg.RequestTimeoutMs, cfg.BatchSize, cfg.Seed = 50, 2000, 1000, seed
		w.start(cfg)
		w.run(20)
		w.produce(3)
		w.delivered(t)
		w.cluster.topics["a"].refuse = always(protocol.InvalidRecord)
		w.produce(1)
		w.delivered(t)
		w.cluster.topics["a"].refuse = nil
		w.produce(40)
		w.run(10)
		rec := w.disk.recovered()
		k := slices.IndexFunc(rec.Partitions, func(p spool.PartitionState) bool {
			return p.Identity.Epoch > 0 && p.Settled == protocol.NoSequence
		})
		if k < 0 || len(rec.Seals) > 0 {
			continue
		}
		parts := w.cluster.topics["a"].parts
		raised := parts[rec.Partitions[k].Partition].leader
		if !slices.ContainsFunc(parts, func(p *modelPartition) bool { return p.leader != raised }) {
			continue
		}
		cases++
		w.hold = func(b int32, _ sender.Request) bool { return b != raised }
		w.seen = nil
		w.crash(cfg)
		w.run(1000)
		if len(w.seen) > 0 {
			t.Fatalf("seed %d: sent as %v before all leaders had been asked", seed, w.seen[0].Batches[0].Identity)
		}
	}
}

// A broker that is cut off from the others goes on saying that it leads. What metadata has told of later reigns is known after a
// start, also where nothing was sent since. Found by the simulated world.
func TestAStartRemembersTheReignThatMetadataToldOfLast(t *testing.T) {
	w, p := scenario(2)
	w.produce(3)
	w.delivered(t)
	w.cluster.failOver(p)
	w.run(310_000) // longer than metadata.max.age.ms
	w.until(t, "a write of the reign", func() bool {
		return w.disk.recovered().Partitions[0].LeaderEpoch == p.epoch
	})
}
