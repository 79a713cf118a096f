package sender_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// A connection that ends refuses what is given to it at once, before anybody can say that
// it is gone. A request that was never written is not made again in the same moment: a
// shell that answers at once would never come to read the news.
func TestABatchThatCouldNotBeWrittenIsNotSentAgainAtOnce(t *testing.T) {
	w, _ := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.refuse = func(r sender.Request) bool { return r.Kind == sender.KindProduce }
	w.records = append(w.records, rec{topic: "a", value: []byte("x"), ts: w.now.Wall})
	w.beginCommit()
	w.until(t, "the first try", func() bool { return w.refused > 0 })
	before := w.now.Age
	for range 200 {
		if w.now.Age != before {
			break
		}
		w.step()
	}
	if tries := w.refused; tries > 2 {
		t.Errorf("%d tries within a millisecond", tries)
	}
	w.refuse = nil
	w.delivered(t)
}

// While the cluster is away for longer than metadata.max.age.ms, or a partition has no leader, the core waits for its next
// try: nobody is woken every millisecond to find that there is nothing to do.
func TestALongOutageIsWaitedOutWithoutABusyLoop(t *testing.T) {
	value := []byte("v")
	entry := spool.AppendEntry(nil, 1, protocol.NoPartition, nil, value, nil, spool.BodySize(nil, value, nil))
	s := sender.New(whole(sender.Config{Seed: 1}), &spool.Recovered{Incarnation: 1, Former: protocol.NoIdentity})
	now := spool.Time{Wall: 1_700_000_000_000, Age: 1}
	type due struct {
		at  int64
		req sender.Request
	}
	var queue []due
	known, wake := false, int64(0)
	carry := func(e *sender.Effects) {
		for _, r := range e.Requests {
			queue = append(queue, due{now.Age + 50, r})
		}
		wake = e.WakeAt
	}
	carry(s.Start(now))
	carry(s.Committed(now, &spool.Committed{Lanes: []spool.NewLane{{Topic: "a"}},
		Sections: []spool.Section{{Spans: []spool.Span{{End: 1}}, Bytes: entry}}}))
	ticks := 0
	for now.Age < 30*60_000 {
		if len(queue) > 0 && (wake == 0 || queue[0].at <= wake) {
			d := queue[0]
			queue = queue[1:]
			now.Age = max(now.Age, d.at)
			resp := sender.Response{ID: d.req.ID, Err: errors.New("no route")}
			if m, ok := d.req.Message.(*kmsg.MetadataRequest); ok && !known && len(m.Topics) > 0 {
				known = true // once, and then never again
				resp.Err, resp.Message = nil, leaderless("a")
			}
			carry(s.Handle(now, resp))
			continue
		}
		if wake == 0 {
			t.Fatal("nothing is due any more")
		}
		now.Age, ticks = max(wake, now.Age+1), ticks+1
		carry(s.Tick(now))
	}
	if !known {
		t.Fatal("metadata was never asked for")
	}
	if ticks > 6000 {
		t.Errorf("woken %d times in half an hour without a cluster, with retries at most every second", ticks)
	}
}

// leaderless is a cluster of one broker and a topic of one partition that nobody leads.
func leaderless(topic string) kmsg.Response {
	r := kmsg.NewPtrMetadataResponse()
	b := kmsg.NewMetadataResponseBroker()
	b.Host, b.Port = "broker", 9092
	r.Brokers = append(r.Brokers, b)
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID = kmsg.StringPtr(topic), [16]byte{1}
	p := kmsg.NewMetadataResponseTopicPartition()
	p.Leader, p.ErrorCode = -1, int16(protocol.LeaderNotAvailable)
	rt.Partitions = append(rt.Partitions, p)
	r.Topics = append(r.Topics, rt)
	return r
}

// A cluster makes topics for whoever asks, and metadata is asked for again and again. Found by the soak: a topic that
// somebody deleted after all was delivered came back empty, and its lane was parked for being another one.
func TestATopicThatIsDeletedWithNothingPendingIsNotMadeAgain(t *testing.T) {
	cfg := scenarioCfg
	cfg.AutoCreate, cfg.MetadataMaxAgeMs = true, 100
	w, _ := scenario(1)
	w.cluster.auto = true
	w.start(cfg)
	w.produce(1)
	w.delivered(t)
	delete(w.cluster.topics, "a")
	w.run(1000)
	// Now one has to be made, and it is asked for in company of none that has not.
	w.topics = []string{"new"}
	w.produce(3)
	w.until(t, "delivery to the new topic", func() bool { return w.pending() == 0 })
	w.run(1000)
	if w.cluster.topics["new"] == nil || w.cluster.topics["a"] != nil {
		t.Errorf("the topic that has records exists: %v, the one that was deleted: %v; want true and false",
			w.cluster.topics["new"] != nil, w.cluster.topics["a"] != nil)
	}
	if p := w.parkOf(); p.Parked() {
		t.Errorf("parked: %+v", p)
	}
}

// Nobody is told that a topic is missing before the cluster was asked to make it, and had time to.
func TestAMissingTopicIsReportedOnlyWhenItIsNotMade(t *testing.T) {
	for _, auto := range []bool{true, false} {
		w, _ := scenario(1)
		cfg := scenarioCfg
		cfg.AutoCreate = true
		w.cluster.auto = auto
		w.start(cfg)
		w.topics = []string{"new"}
		w.produce(1)
		w.run(2000)
		told := 0
		for _, e := range w.told {
			if x, ok := e.(sender.TopicTrouble); ok && x.Topic == "new" {
				told++
			}
		}
		want := 1
		if auto {
			want = 0
		}
		if told != want || (w.pending() == 0) != auto {
			t.Errorf("the cluster makes topics: %v: told %d times, want %d; %d records pending", auto, told, want, w.pending())
		}
	}
}

// Found by the simulated world: records went to partitions that only the former topic had had, and waited for ever.
func TestRecordsOfATopicRecreatedSmallerGoToItsPartitions(t *testing.T) {
	w, _ := scenario(1)
	w.cluster.topics["a"].grow(1, 0)
	w.run(5000) // until metadata shows the second partition
	w.keys = 8
	w.produce(30)
	w.delivered(t)
	w.cluster.create("a", 1)
	w.produce(30)
	w.until(t, "delivery", func() bool { return w.pending() == 0 })
}

// Found by the simulated world: who had been the leader, and was cut off from the cluster since, was believed by the next
// process that its log, which ends below what was acked, is the log. The partition was parked for having gone back.
func TestWhoLedBeforeIsNotBelievedAfterARestart(t *testing.T) {
	w, p := scenario(2)
	p.epoch = 3
	w.run(300_000) // until metadata says so
	w.produce(3)
	w.delivered(t)
	w.run(50)
	p.epoch = 2
	w.crash(scenarioCfg)
	w.seen = nil
	w.produce(3)
	w.run(2000)
	if len(w.seen) > 0 {
		t.Fatalf("sent to the leader of an older epoch: %s", describe(w.seen[0]))
	}
	if d := w.s.Status(w.now).Topics[0].Partitions[0].Detail; !strings.Contains(d, "leader epoch 3") {
		t.Errorf("it waits for %q", d)
	}
	p.epoch = 3
	w.delivered(t)
}

// threeInDoubt is a host that has three batches on the wire, one record each, behind five that were acked; and the last of the
// three, as it was sent.
func threeInDoubt(t *testing.T) (*world, *modelPartition, sender.Request) {
	w, p := scenario(1)
	w.calm = true
	w.produce(5)
	w.delivered(t)
	w.seen = nil
	w.hold = isProduce
	for range 3 {
		n := len(w.seen)
		w.produce(1)
		w.until(t, "its copy", func() bool { return len(w.seen) > n })
	}
	last := slices.MaxFunc(w.seen, func(a, b sender.Request) int { return int(a.Batches[0].Base) - int(b.Batches[0].Base) })
	if last.Batches[0].Base < 6 {
		t.Fatal("the batches were not sent apart")
	}
	w.hold = nil
	return w, p, last
}

// parksAll has the host start again, and wants it to park its partition with nothing settled.
func (w *world) parksAll(t *testing.T, reason string) {
	t.Helper()
	before := w.pending()
	w.crash(scenarioCfg)
	w.until(t, "a park", func() bool { return w.parkOf().Parked() })
	w.run(100) // until that is on the disk
	if w.pending() != before || w.parkOf().Reason != reason {
		t.Errorf("parked for %+v with %d records pending, want %s and %d", w.parkOf(), w.pending(), reason, before)
	}
}

// A topic that was created anew takes a batch that arrives late for its first one, where Produce goes by name, whatever its
// sequence. What the leader then says of the producer says nothing of the batches before. Found by the simulated world.
func TestNothingIsSettledForALaterBatchInTheLogOfAnotherTopic(t *testing.T) {
	w, p, late := threeInDoubt(t)
	w.cluster.byName = true
	id := w.cluster.topics["a"].id
	fresh := w.cluster.create("a", 1) // which metadata has not told of
	fresh.id, fresh.parts[0].leader = id, p.leader
	if _, err := w.cluster.serve(p.leader, late); err != nil {
		t.Fatal(err)
	}
	w.parksAll(t, spool.ParkLogWentBack)
}

// A broker whose log was emptied forgets its producers when it cuts or reads it, and then takes a late batch for a producer's
// first one. There is no room in the log for those before. Found by the simulated world.
func TestNothingIsSettledForALaterBatchOfAForgottenProducer(t *testing.T) {
	w, p, late := threeInDoubt(t)
	for p.log[len(p.log)-1].offset >= 5 {
		p.log = p.log[:len(p.log)-1]
	}
	p.hw, p.start, p.state = 5, 5, map[int64]*modelProducer{}
	if _, err := w.cluster.serve(p.leader, late); err != nil {
		t.Fatal(err)
	}
	w.parksAll(t, spool.ParkStateForgotten)
}

// A log that lost what it had (an unclean election), or that was never the one which was asked: a topic was created anew, and a
// broker that had not heard of it told where the former one ends. Found by the simulated world: it was asked for ever.
func TestALogThatEndsBelowWhereItIsToBeReadParks(t *testing.T) {
	w, p, _ := threeInDoubt(t)
	p.log, p.hw, p.state = nil, 0, map[int64]*modelProducer{}
	w.parksAll(t, spool.ParkLogWentBack)
}

// A broker that has forgotten the producer takes whatever comes first, so that one is sent at a time; also when what it refused,
// the first question after it had forgotten, is cut in two. Found by the simulated world: the second half overtook the first.
func TestHalvesGoOneByOneToABrokerThatForgotTheProducer(t *testing.T) {
	w, p := scenario(2)
	w.calm = true
	w.produce(1)
	w.delivered(t)
	topic := w.cluster.topics["a"]
	topic.refuse = always(protocol.TopicAuthorizationFailed)
	w.produce(5)
	w.until(t, "the refusal", func() bool {
		_, refused := w.told[len(w.told)-1].(sender.TopicTrouble)
		return refused // so nothing is in doubt
	})
	p.state, p.start, p.hw, p.log = map[int64]*modelProducer{}, 1, 1, nil
	for _, c := range w.conns {
		w.cut(c)
	}
	bad := ""
	topic.refuse = func(v []byte) protocol.ErrorCode { // the first record, so one in the first half
		if bad == "" {
			bad = string(v)
		}
		if string(v) == bad {
			return protocol.InvalidRecord
		}
		return protocol.None
	}
	w.until(t, "delivery of everything", func() bool { return w.pending() == 0 || w.parkOf().Parked() })
	if k := len(w.disk.dead[0]); w.parkOf().Parked() || k != 1 {
		t.Errorf("%d dead letters, parked for %+v, want the refused record alone", k, w.parkOf())
	}
}

// A broker that has not heard of a topic's new incarnation tells of the former one, and is believed when it does so twice. Then
// the others are asked: it is the topic that it was, records for other partitions go on, and what had waited
// meanwhile must not be spread anew behind them. Found by the simulated world.
func TestATopicThatWasTheSameAfterAllKeepsItsOrder(t *testing.T) {
	for _, restarted := range []bool{true, false} {
		w, _ := scenario(1)
		topic := w.cluster.topics["a"]
		w.keys = 30
		w.produce(20)
		w.delivered(t)
		id := topic.id
		topic.id = protocol.TopicID{15: 9}
		w.drop = func(_ int32, r sender.Request) bool { return r.Kind == sender.KindProduce } // so these are in doubt
		w.produce(20)
		w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
		w.run(100) // until that is on the disk
		w.drop = nil
		topic.id = id
		topic.grow(3, 0)
		if restarted {
			w.crash(scenarioCfg)
		}
		w.run(310_000) // longer than metadata.max.age.ms
		w.produce(60)
		w.run(1000)
		e, _, err := w.s.Resolve(w.now, "a", -1, sender.ResolveResend)
		if err != nil {
			t.Fatal(err)
		}
		w.carry(e)
		w.delivered(t)
	}
}
