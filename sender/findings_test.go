package sender_test

import (
	"errors"
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
	w := scenario(1)
	w.acked(t, 1)
	w.refuse = isProduce
	w.produce(1)
	w.until(t, "the first try", func() bool { return w.refused > 0 })
	for at, n := w.Ms(), 0; w.Ms() == at && n < 200; n++ {
		w.Step()
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
	w := scenario(1)
	w.makesTopics()
	w.crash(cfg)
	w.acked(t, 1)
	w.Cluster.DeleteTopic("a")
	w.run(1000)
	// Now one has to be made, and it is asked for in company of none that has not.
	w.topics = []string{"new"}
	w.produce(3)
	w.until(t, "delivery to the new topic", func() bool { return w.Pending() == 0 })
	w.run(1000)
	if w.Cluster.Exists("a") || !w.Cluster.Exists("new") {
		t.Errorf("the topic that has records exists: %v, the one that was deleted: %v; want true and false",
			w.Cluster.Exists("new"), w.Cluster.Exists("a"))
	}
	if p := w.parkOf(); p.Parked() {
		t.Errorf("parked: %+v", p)
	}
}

// A topic is not reported as missing before the cluster was asked to make it, and had time to.
func TestAMissingTopicIsReportedOnlyWhenItIsNotMade(t *testing.T) {
	for _, auto := range []bool{true, false} {
		w := scenario(1)
		cfg := scenarioCfg
		cfg.AutoCreate = true
		if auto {
			w.makesTopics()
		}
		w.crash(cfg)
		w.topics = []string{"new"}
		w.produce(1)
		w.run(2000)
		reported := 0
		for _, e := range w.Events {
			if x, ok := e.(sender.TopicTrouble); ok && x.Topic == "new" {
				reported++
			}
		}
		want := 1
		if auto {
			want = 0
		}
		if reported != want || (w.Pending() == 0) != auto {
			t.Errorf("the cluster makes topics: %v: reported %d times, want %d; %d records pending", auto, reported, want, w.Pending())
		}
	}
}

// Found by the simulated world: records went to partitions that only the former topic had had, and waited for ever.
func TestRecordsOfATopicRecreatedSmallerGoToItsPartitions(t *testing.T) {
	w := twoPartitions(t)
	w.recreate(1)
	w.produce(30)
	w.until(t, "delivery", func() bool { return w.Pending() == 0 })
}

// Found by the simulated world: a former leader, cut off from the cluster since, was believed by the next process that its log,
// which ends below what was acked, is the log. The partition was parked for having gone back.
func TestWhoLedBeforeIsNotBelievedAfterARestart(t *testing.T) {
	w := scenario(2)
	for range 3 {
		w.Cluster.Move("a", 0, 1-w.Cluster.Leader("a", 0))
		w.run(20)
	}
	w.run(300_000) // until metadata says so
	w.acked(t, 3)
	w.Kill()
	w.editTopics(everyBroker, func(t *kmsg.MetadataResponseTopic) { t.Partitions[0].LeaderEpoch = 2 })
	w.Sent = nil
	w.start(scenarioCfg)
	w.produce(3)
	w.run(2000)
	if n := len(w.Sent); n > 0 {
		t.Fatalf("%d requests to the leader of an older epoch", n)
	}
	if d := w.status().Partitions[0].Detail; !strings.Contains(d, "leader epoch 3") {
		t.Errorf("it waits for %q", d)
	}
	w.Edit = nil
	w.delivered(t)
}
