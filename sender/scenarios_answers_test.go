package sender_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

func all([]byte) bool { return true }

func bad(v []byte) bool { return strings.HasPrefix(string(v), "bad") }

func TestS21ARefusedResendOfABatchThatIsInTheLogIsDelivered(t *testing.T) {
	refusals := map[string]func(*broker.TopicConfig){
		"max.message.bytes was lowered":              func(c *broker.TopicConfig) { c.MaxMessageBytes = 70 },
		"message.timestamp.before.max.ms has passed": func(c *broker.TopicConfig) { c.Before = 1 },
		"the topic became compacted":                 func(c *broker.TopicConfig) { c.Compact = true },
		"a policy of the broker is new":              func(c *broker.TopicConfig) { c.Refuse = all },
	}
	for name, refuse := range refusals {
		w := scenario(1)
		w.doubt(t, 1)
		w.Kill()
		w.configure(refuse)
		w.start(scenarioCfg)
		w.delivered(t)
		if n := len(w.log()); w.dead() != 0 || n != 2 {
			t.Errorf("%s: %d dead letters, %d batches in the log; want 0 and 2", name, w.dead(), n)
		}
	}
}

// Every replica was restarted since the batches came, so that the next leader has state of one batch of the producer.
func TestS22AFailOverAfterARestartIsResolvedByTheLastSequence(t *testing.T) {
	w := scenario(3)
	w.doubt(t, 5)
	leader := w.Cluster.Leader("a", 0)
	for id := range int32(3) {
		if id != leader {
			w.restartBroker(t, id)
		}
	}
	w.Cluster.Kill(leader)
	w.delivered(t)
	w.inFirstEpoch(t)
	if n := len(w.log()); n != 6 {
		t.Errorf("%d batches in the log, want 6", n)
	}
}

// lagging is a scenario whose followers can be kept from fetching without leaving the ISR: what the leader appends then is not replicated.
func lagging() (w *world, leader int32, lag func(bool)) {
	w = scenarioOf(broker.Config{Brokers: 3, Lag: hour}, broker.TopicConfig{MinISR: 2})
	leader = w.Cluster.Leader("a", 0)
	return w, leader, func(lag bool) {
		for id := range int32(3) {
			if id != leader {
				w.Cluster.Slow(id, lag)
			}
		}
	}
}

// appended waits until the leader has appended what was sent last, replicated or not.
func (w *world) appended(t *testing.T) {
	t.Helper()
	w.until(t, "a batch", func() bool { return len(w.Sent) > 0 })
	b := &w.Sent[len(w.Sent)-1].Batches[0]
	w.until(t, "its arrival", func() bool { return w.Cluster.Appended(w.id("a"), 0, b.Identity, b.Base) })
}

func TestS33ABatchThatOnlyTheLeaderHasIsNotSettledByTheQuestion(t *testing.T) {
	w, leader, lag := lagging()
	w.acked(t, 1)
	w.run(20)
	lag(true)
	w.hold, w.Sent = isProduce, nil
	w.produce(3)
	w.appended(t)
	if n := len(w.log()); n != 1 {
		t.Fatalf("%d batches are replicated, want 1", n)
	}
	w.Sent = nil
	w.crash(scenarioCfg)
	w.until(t, "the re-send", func() bool { return len(w.Sent) > 0 })
	w.run(50)
	if w.Pending() == 0 {
		t.Fatal("settled while it was on one replica only")
	}
	w.Cluster.Kill(leader)
	lag(false)
	w.hold = nil
	w.delivered(t)
}

func TestS41WithoutTheRightToAskOneIsInFlightAndStatusSaysSo(t *testing.T) {
	w := newWorld(broker.Config{Seed: 1})
	w.topics = []string{"a"}
	w.Cluster.CreateTopic("a", 1, 1, broker.TopicConfig{})
	w.Cluster.Deny(broker.Read, "a", true)
	w.start(scenarioCfg)
	most := 0
	for range 8 {
		w.produce(20)
		for range 10 {
			w.run(1)
			most = max(most, w.Unanswered())
		}
	}
	w.delivered(t)
	if most != 1 {
		t.Errorf("%d batches were in flight, want 1", most)
	}
	if w.status().Partitions[0].MayAsk {
		t.Error("status does not say that the right to ask is missing")
	}
}

// The right to read is given while batches are in flight one by one, over a connection that stays. It was not noticed before that ended.
func TestTheRightToReadIsNoticedOverTheSameConnection(t *testing.T) {
	w := newWorld(broker.Config{Seed: 1})
	w.topics = []string{"a"}
	w.Cluster.CreateTopic("a", 1, 1, broker.TopicConfig{})
	w.Cluster.Deny(broker.Read, "a", true)
	w.start(scenarioCfg)
	most := func() (n int) {
		for range 8 {
			w.produce(20)
			for range 10 {
				w.run(1)
				n = max(n, w.Unanswered())
			}
		}
		return n
	}
	if n := most(); n != 1 {
		t.Errorf("%d batches were in flight without the right, want 1", n)
	}
	w.delivered(t)
	w.Cluster.Deny(broker.Read, "a", false)
	for began := w.Ms(); !w.status().Partitions[0].MayAsk; {
		if w.Ms()-began > 20*60_000 {
			t.Fatal("the right was not noticed in 20 minutes")
		}
		w.produce(1)
		w.run(1000)
	}
	if n := most(); n < 2 {
		t.Errorf("%d batches were in flight with the right, want more", n)
	}
	w.delivered(t)
}

func TestS42AGapStaysAndTheRestGoesOnInTheNextEpoch(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.configure(func(c *broker.TopicConfig) { c.Refuse, c.Named = bad, true })
	var list []bolt.RecordInput
	for n := range 5 {
		list = append(list, record("a", fmt.Sprint("bad", n)))
	}
	w.Append(append(list, w.records(20)...)...)
	w.delivered(t)
	if w.dead() != 5 {
		t.Errorf("%d dead letters, want 5", w.dead())
	}
	log := w.log()
	if id := log[len(log)-1].Identity; id.Epoch != 1 {
		t.Errorf("the rest went out under %v, want epoch 1", id)
	}
	if log[1].Base != 0 {
		t.Errorf("the next epoch began at sequence %d", log[1].Base)
	}
}

// The answer to the first batch is that it was not replicated in time. The second one is acked.
func TestS49AnAckThatOvertakesIsSettledByTheTail(t *testing.T) {
	w, _, lag := lagging()
	cfg := scenarioCfg
	cfg.RequestTimeoutMs = 600 // the broker gives up after five sixths of it
	w.crash(cfg)
	w.acked(t, 1)
	w.run(20)
	lag(true)
	w.Sent = nil
	w.produce(5)
	w.appended(t)
	w.run(550)
	w.produce(5)
	lag(false)
	w.delivered(t)
	if n := len(w.log()); n != 3 {
		t.Errorf("%d batches in the log, want 3", n)
	}
	if w.parkOf().Parked() {
		t.Errorf("parked: %+v", w.parkOf())
	}
}

func TestARefusedBatchOfWhichALateCopyTurnsUpIsDelivered(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		w := scenario(1)
		w.acked(t, 1)
		w.drop, w.Sent = isProduce, nil
		w.produce(1)
		w.until(t, "the first copy", func() bool { return len(w.Sent) > 0 })
		late := w.Sent[0]
		w.configure(func(c *broker.TopicConfig) { c.Refuse = all })
		w.drop = nil
		w.until(t, "the refusal of the second copy", func() bool { return w.partition().Identity.Epoch == 1 })
		if w.Pending() != 1 || w.dead() != 0 {
			t.Fatalf("pending %d, dead letters %d before anything is known; want 1 and 0", w.Pending(), w.dead())
		}
		w.configure(func(c *broker.TopicConfig) { c.Refuse = nil })
		if arrives {
			w.Arrive(&late)
			w.run(5)
		} else {
			w.crash(scenarioCfg) // what is undecided survives a start
		}
		w.acked(t, 1)
		want := map[bool]int{true: 0, false: 1}[arrives]
		if w.dead() != want {
			t.Errorf("late copy arrives: %v: %d dead letters, want %d", arrives, w.dead(), want)
		}
	}
}

// otherID has brokers say that topic a has another id than it has.
func (w *world) otherID() {
	w.editTopics(everyBroker, func(t *kmsg.MetadataResponseTopic) { t.TopicID[3] ^= 0xff })
}

func TestOneStaleAnswerAboutATopicParksNothing(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.drop, w.Sent = isProduce, nil
	w.produce(2)
	w.until(t, "a copy that is lost", func() bool { return len(w.Sent) > 0 })
	answers := 0
	w.otherID()
	edit := w.Edit
	w.Edit = func(from int32, m kmsg.Response) {
		if r, ok := m.(*kmsg.MetadataResponse); ok && len(r.Topics) > 0 {
			if answers++; answers == 1 {
				edit(from, m)
			}
		}
	}
	w.until(t, "a stale answer", func() bool { return answers > 0 })
	w.run(4)
	w.drop = nil
	w.delivered(t)
	if n := len(w.log()); w.parkOf().Parked() || n != 2 {
		t.Errorf("parked: %+v; %d batches in the log", w.parkOf(), n)
	}
}

// The leader is restarted. It comes back as a follower without what it had not flushed, and answers for its own replica
// while metadata still names it.
func TestAFollowerThatLagsIsNotTakenForALogThatWentBack(t *testing.T) {
	w := scenario(2)
	w.acked(t, 2)
	w.drop, w.Sent = isProduce, nil
	w.produce(2)
	w.until(t, "a batch in doubt", func() bool { return len(w.Sent) > 0 })
	asked := 0
	w.Edit = func(_ int32, m kmsg.Response) {
		switch r := m.(type) {
		case *kmsg.DescribeProducersResponse:
			asked++
			for i := range r.Topics[0].Partitions[0].ActiveProducers {
				r.Topics[0].Partitions[0].ActiveProducers[i].LastSequence = 0
			}
		case *kmsg.ListOffsetsResponse:
			r.Topics[0].Partitions[0].ErrorCode = int16(protocol.NotLeaderOrFollower)
		}
	}
	w.run(60)
	w.Edit, w.drop = nil, nil
	w.Cluster.Move("a", 0, 1-w.Cluster.Leader("a", 0))
	w.delivered(t)
	if asked == 0 || w.parkOf().Parked() {
		t.Errorf("asked %d times, parked: %+v", asked, w.parkOf())
	}
}

func TestS08AnEpochIsRaisedOnDiskBeforeAnythingGoesOutUnderIt(t *testing.T) {
	delivered := 0
	for crashAt := range 24 {
		w := scenario(1)
		w.configure(func(c *broker.TopicConfig) { c.Refuse = bad })
		list := append(w.records(2), record("a", "bad"))
		w.Append(append(list, w.records(10)...)...)
		w.run(int64(4 + 2*crashAt)) // before, at and after the refusal is written
		used := map[string]string{}
		for _, c := range w.Sent {
			b := &c.Batches[0]
			key := fmt.Sprint(b.Identity, b.Base)
			if prev, ok := used[key]; ok && prev != string(b.Records()) && b.Base != 0 {
				t.Errorf("crash %d: %s was given to other records", crashAt, key)
			}
			used[key] = string(b.Records())
		}
		w.crash(scenarioCfg)
		// Where a copy of what was refused is unanswered and the leader has no state, an operator is asked.
		w.until(t, "an end", func() bool { return w.Pending() == 0 || w.parkOf().Reason == spool.ParkRefused })
		if w.Pending() == 0 {
			w.check(t)
			delivered++
		}
	}
	if delivered < 6 {
		t.Errorf("%d of 24 ended with everything delivered", delivered)
	}
}

// The first batch of a producer id was too large, and a copy of it was unanswered: the leader has no state that keeps that copy out, and
// the partition was parked. In pieces it goes again: the first one that is acked gives the leader that state.
func TestATooLargeBatchWithACopyAboutIsCutAndDelivered(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		w := scenario(1)
		w.drop, w.Sent = isProduce, nil
		w.produce(20)
		w.until(t, "the first copy", func() bool { return len(w.Sent) > 0 })
		late := w.Sent[0]
		w.configure(func(c *broker.TopicConfig) { c.MaxMessageBytes = 100 })
		w.drop = nil
		w.until(t, "a piece", func() bool { return w.Core().Status(w.Now()).Retries > 0 && len(w.log()) > 0 || w.parkOf().Parked() })
		if w.parkOf().Parked() {
			t.Fatalf("parked: %+v", w.parkOf())
		}
		if arrives {
			w.configure(func(c *broker.TopicConfig) { c.MaxMessageBytes = 0 })
			w.Arrive(&late)
		} else {
			w.crash(scenarioCfg)
		}
		w.delivered(t)
		if n := len(w.log()); w.dead() != 0 || n < 2 {
			t.Errorf("%d dead letters, %d batches in the log", w.dead(), n)
		}
	}
}

// A single record cannot be cut: nothing keeps its other copy out of the log, and whether it is a dead letter is not known.
func TestARefusedFirstRecordWithACopyAboutIsParked(t *testing.T) {
	w := scenario(1)
	w.drop, w.Sent = isProduce, nil
	w.produce(1)
	w.until(t, "the first copy", func() bool { return len(w.Sent) > 0 })
	late := w.Sent[0]
	w.configure(func(c *broker.TopicConfig) { c.Refuse = all })
	w.drop = nil
	w.until(t, "an end", func() bool { return w.parkOf().Parked() || w.dead() > 0 || w.Pending() == 0 })
	if w.parkOf().Reason != spool.ParkRefused || w.dead() != 0 {
		t.Fatalf("parked: %+v, %d dead letters", w.parkOf(), w.dead())
	}
	w.configure(func(c *broker.TopicConfig) { c.Refuse = nil })
	w.Arrive(&late)
	w.run(5)
	if len(w.log()) != 1 || w.dead() != 0 || w.Pending() != 1 {
		t.Errorf("%d batches in the log, %d dead letters, %d pending", len(w.log()), w.dead(), w.Pending())
	}
}
