package sender_test

import (
	"testing"

	"github.com/spoold/spoold/sender"
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
