package spoold_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func TestPartitionsForDescribesATopicAndMakesNone(t *testing.T) {
	c := newCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "t"))
	p := c.open(t, t.TempDir())
	for range 2 {
		parts, err := p.PartitionsFor(patient(t), "t")
		if err != nil || len(parts) != 4 {
			t.Fatalf("PartitionsFor = %+v, %v", parts, err)
		}
		for i, q := range parts {
			if q.Partition != int32(i) || q.Leader < 0 || len(q.Replicas) == 0 || len(q.InSync) == 0 || q.Leader != c.LeaderFor("t", int32(i)) {
				t.Errorf("partition %d: %+v", i, q)
			}
		}
	}
	var topic *spoold.TopicError
	if _, err := p.PartitionsFor(patient(t), "missing"); !errors.As(err, &topic) || topic.Code.String() != "UNKNOWN_TOPIC_OR_PARTITION" {
		t.Errorf("PartitionsFor(missing) = %v", err)
	}
	if _, err := p.PartitionsFor(patient(t), "no/topic"); !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("PartitionsFor(no/topic) = %v", err)
	}
	if c.TopicInfo("missing") != nil {
		t.Error("the topic was made")
	}
	if st := p.Status(); st.Accepted != 0 || len(st.Topics) != 0 {
		t.Errorf("the spool learnt of %+v", st.Topics)
	}
}

func TestPartitionsForWaitsNoLongerThanItMay(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.MaxBlock = 500 * time.Millisecond })
	if _, err := p.PartitionsFor(context.Background(), "t"); err == nil || !strings.Contains(err.Error(), "max.block.ms") || !strings.Contains(err.Error(), "the link is cut") {
		t.Errorf("PartitionsFor = %v, want max.block.ms and the cause", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.PartitionsFor(ctx, "t"); !errors.Is(err, context.Canceled) {
		t.Errorf("PartitionsFor with an ended context = %v", err)
	}
	closeNow(t, p)
	if _, err := p.PartitionsFor(context.Background(), "t"); !errors.Is(err, spoold.ErrClosed) {
		t.Errorf("PartitionsFor after Close = %v", err)
	}
}

func TestPartitionsForWaitsForTheCluster(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(2, "t"))
	c.link.down()
	p := c.open(t, t.TempDir())
	time.AfterFunc(20*time.Millisecond, c.link.up)
	if parts, err := p.PartitionsFor(patient(t), "t"); err != nil || len(parts) != 2 {
		t.Errorf("PartitionsFor = %v, %v", parts, err)
	}
}

// What goes over the wire shows in the metrics.
func TestMetricsCountWhatWasSent(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.CompressionType = "gzip" })
	d, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, 10_000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Acked(patient(t)); err != nil {
		t.Fatal(err)
	}
	p.Status() // what connections there are is not older than this
	values := map[string]float64{}
	for _, m := range p.Metrics() {
		if m.Name == "" || m.Unit == "" || m.Description == "" {
			t.Errorf("metric %+v", m)
		}
		values[m.Name] = m.Value
	}
	if values["record-send-rate"] <= 0 || values["request-latency-avg"] <= 0 || values["compression-rate-avg"] >= 0.5 || values["batch-size-avg"] <= 60 || values["connection-count"] < 1 {
		t.Errorf("metrics %v", values)
	}
}
