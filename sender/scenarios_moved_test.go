package sender_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

func TestS30ATopicRecreatedIsNoticedBeforeAResendThatGoesByName(t *testing.T) {
	w := scenarioOf(broker.Config{ProduceMax: 11}, broker.TopicConfig{})
	w.acked(t, 2)
	w.drop, w.Sent = isProduce, nil
	w.produce(2)
	w.until(t, "the copy that is lost", func() bool { return len(w.Sent) > 0 })
	w.recreate(1)
	w.run(12)
	w.drop = nil
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
	if n := len(w.log()); n != 0 {
		t.Errorf("%d batches went to the new topic", n)
	}
}

func TestS34ARestoredSpoolIsNoticedBeforeAUsedSequenceIsGivenAway(t *testing.T) {
	w := scenario(1)
	w.acked(t, 3)
	w.run(50)
	copied := w.Save()
	w.acked(t, 3) // the original goes on
	w.PutBack(copied)
	w.Sent = nil
	w.start(scenarioCfg)
	w.produce(1)
	w.untilEnded()
	var stopped *sender.StoppedError
	if !errors.As(w.Stopped(), &stopped) || len(w.Sent) != 0 {
		t.Fatalf("stopped for %v after %d requests, want a StoppedError before anything is sent", w.Stopped(), len(w.Sent))
	}
	// It is recorded: the next start refuses at once.
	w.start(scenarioCfg)
	if !errors.As(w.Stopped(), &stopped) || !stopped.Recorded {
		t.Errorf("the next start says %v", w.Stopped())
	}
}

// Nobody leads a partition, so its records are passed over. The topic grows meanwhile.
func TestS37APassedOverRecordKeepsItsPartitionWhenTheTopicGrows(t *testing.T) {
	waited := 0
	for seed := range uint64(40) {
		w := newWorld(broker.Config{Seed: seed + 1})
		w.topics, w.keys = []string{"a"}, 3
		w.Cluster.CreateTopic("a", 3, 1, broker.TopicConfig{})
		cfg := scenarioCfg
		cfg.BufferMemory, cfg.MetadataMaxAgeMs = 1500, 200
		w.start(cfg)
		w.run(30)
		w.editTopics(everyBroker, func(t *kmsg.MetadataResponseTopic) {
			for i := range t.Partitions {
				if p := &t.Partitions[i]; p.Partition == 1 {
					p.Leader, p.ErrorCode = -1, int16(protocol.LeaderNotAvailable)
				}
			}
		})
		w.run(300) // longer than metadata.max.age.ms
		w.produce(40)
		w.run(60)
		w.Cluster.Grow("a", 4)
		w.run(300)
		w.produce(40)
		w.run(60)
		if seed%2 == 0 {
			w.crash(cfg)
			w.produce(10)
		}
		w.run(100)
		if w.Pending() > 0 {
			waited++
		}
		w.Edit = nil
		w.delivered(t)
	}
	if waited < 20 {
		t.Errorf("records were passed over under %d of 40 seeds, want half of them at least", waited)
	}
}

// While the host stood still its other self went on: the log is ahead of it.
func TestS50AHostRevertedWithItsMemoryStopsBeforeItSends(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	id := w.log()[0].Identity
	batch := raw.Spec{PID: int64(id.ID), Epoch: int16(id.Epoch), Base: 1}
	for range 4 {
		batch.Records = append(batch.Records, raw.Record{Timestamp: w.Now().Wall, Value: []byte("ahead")})
	}
	w.elsewhere(t, &batch)
	w.Sent = nil
	w.Cut(0)
	w.produce(2)
	w.untilEnded()
	var stopped *sender.StoppedError
	if !errors.As(w.Stopped(), &stopped) || len(w.Sent) != 0 {
		t.Errorf("stopped for %v after %d requests, want a StoppedError and none", w.Stopped(), len(w.Sent))
	}
}

func TestARecordForAPartitionThatDoesNotExistWaitsAndStopsNobody(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	far := record("a", "far")
	far.Partition = 131071
	w.Append(far)
	w.produce(3)
	w.until(t, "delivery of the others", func() bool { return len(w.log()) == 2 })
	status := w.status()
	if !strings.HasPrefix(status.Detail, "records wait for partition 131071, the topic has 1: add") || len(status.Partitions) != 1 {
		t.Errorf("status says %q of %d partitions", status.Detail, len(status.Partitions))
	}
}

func TestARaisedEpochKeepsItsProducerIDOverARestartUntilItIsAcked(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	id := w.log()[0].Identity
	w.configure(func(c *broker.TopicConfig) { c.Refuse = bad })
	w.Append(record("a", "bad"))
	w.until(t, "the next epoch on disk", func() bool { return w.partition().Identity.Epoch == 1 })
	w.crash(scenarioCfg)
	w.acked(t, 2)
	// A new producer id would not shut out what the former epoch left on its way.
	if got := w.log()[1].Identity; got.ID != id.ID || got.Epoch != 1 {
		t.Errorf("the first batch after the start went out under %v, want %d/1", got, id.ID)
	}
}

// twoPartitions is a scenario whose topic has grown to two, with records acked in both.
func twoPartitions(t *testing.T) *world {
	w := scenario(1)
	w.Cluster.Grow("a", 2)
	w.run(310_000) // until metadata shows the second partition
	w.keys = 8
	w.acked(t, 30)
	if len(w.batches(0)) == 0 || len(w.batches(1)) == 0 {
		t.Fatal("a partition is empty")
	}
	return w
}

func TestNothingThatHasLeftIsSentAgainToARecreatedTopic(t *testing.T) {
	w := twoPartitions(t)
	w.hold = isProduce // sealed, in doubt when the topic goes
	w.produce(8)
	w.run(20)
	w.Kill()
	w.hold = nil
	w.recreate(2)
	w.Pass(12)
	w.start(scenarioCfg)
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
	delivered := 0
	for _, seal := range w.Recovered().Seals {
		if seal.Partition == 0 {
			delivered += int(seal.Count)
		}
	}
	w.resolve(t, 0, sender.ResolveDelivered)
	w.resolve(t, 1, sender.ResolveResend)
	w.until(t, "delivery", func() bool { return w.Pending() == 0 })
	n := len(w.values(w.id("a"), 0)) + len(w.values(w.id("a"), 1))
	if delivered == 0 || n != 8-delivered {
		t.Errorf("%d records went to the new topic, want those of the 8 in doubt that were not among the %d of the partition that was resolved as delivered", n, delivered)
	}
}

// A broker that leads no more names the one that does (KIP-951): neither metadata nor a back-off is waited for.
func TestALeaderThatIsNamedIsUsedAtOnce(t *testing.T) {
	for _, named := range []bool{true, false} {
		w := scenario(2)
		cfg := scenarioCfg
		cfg.RetryBackoffMs, cfg.RetryBackoffMaxMs = 10_000, 10_000
		w.crash(cfg)
		w.acked(t, 1)
		if !named {
			w.Edit = func(_ int32, m kmsg.Response) {
				if r, ok := m.(*kmsg.ProduceResponse); ok {
					r.Topics[0].Partitions[0].CurrentLeader = kmsg.NewProduceResponseTopicPartitionCurrentLeader()
				}
			}
		}
		w.Cluster.Move("a", 0, 1-w.Cluster.Leader("a", 0))
		w.run(12)
		began := w.Ms()
		w.acked(t, 1)
		if took := w.Ms() - began; (took < 200) != named {
			t.Errorf("named %v: took %d ms", named, took)
		}
	}
}
