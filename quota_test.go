package spoold_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func quota(policy string) func(*spoold.Config) {
	return func(cfg *spoold.Config) {
		cfg.TopicQuotas, cfg.TopicQuotaFull, cfg.MaxBlock = []string{"t=65536"}, policy, 100*time.Millisecond
	}
}

func topicOf(t *testing.T, p *spoold.Producer, name string) spoold.TopicStatus {
	t.Helper()
	for _, topic := range p.Status().Topics {
		if topic.Topic == name {
			return topic
		}
	}
	t.Fatalf("no topic %s", name)
	return spoold.TopicStatus{}
}

func TestATopicAtItsQuotaIsRefusedAndOthersAreTaken(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"block", "reject"} {
		c := newCluster(t, kfake.SeedTopics(1, "t", "other"))
		c.link.down()
		p := c.open(t, t.TempDir(), quota(policy))
		n := 0
		var err error
		for ; err == nil && n < 1000; n++ {
			_, err = p.Send(context.Background(), spoold.Record{Topic: "t", Value: make([]byte, 1000)})
		}
		if !errors.Is(err, spoold.ErrFull) || !strings.Contains(err.Error(), "topic t is at its quota") || strings.Contains(err.Error(), "the spool is full") || n < 60 || n > 66 {
			t.Errorf("%s: record %d: %v", policy, n, err)
		}
		eventually(t, "the records' commit", func() bool { return len(p.Status().Topics) == 1 })
		if st := topicOf(t, p, "t"); st.QuotaBytes != 65536 || st.QuotaUsedBytes < 60_000 || st.QuotaFull == "" {
			t.Errorf("%s: status %+v", policy, st)
		}
		send(t, p, "other", 0, 200)
		c.link.up()
		flush(t, p)
		if _, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: []byte("v")}); err != nil {
			t.Errorf("%s: after it has drained: %v", policy, err)
		}
		eventually(t, "the acks to be on disk", func() bool { return topicOf(t, p, "t").QuotaFull == "" })
		c.read(t, "other", 200)
	}
}

// The oldest records go, the newest are delivered in their order, and everything adds up, over a restart, too.
func TestTheOldestRecordsOfATopicAreDroppedAtItsQuota(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "t"))
	c.link.down()
	dir := t.TempDir()
	drop := func(cfg *spoold.Config) { quota("drop-oldest")(cfg); cfg.MaxBlock = patience }
	p := c.open(t, dir, drop)
	const n = 1000
	for i := range n {
		if _, err := p.Send(patient(t), spoold.Record{Topic: "t", Partition: spoold.ToPartition(0), Value: append(value(i), make([]byte, 1000)...)}); err != nil {
			t.Fatal(err)
		}
		if used := p.Peek().Topics; len(used) > 0 && used[0].QuotaUsedBytes > used[0].QuotaBytes {
			t.Fatalf("record %d: %d bytes of %d", i, used[0].QuotaUsedBytes, used[0].QuotaBytes)
		}
	}
	eventually(t, "the topic to fit its quota", func() bool { return topicOf(t, p, "t").QuotaUsedBytes < 62_000 })
	before := topicOf(t, p, "t")
	if len(before.Gaps) != 1 || before.Gaps[0].First != 0 || !strings.Contains(before.Gaps[0].Why, "topic.quota.bytes") {
		t.Errorf("gaps %+v", before.Gaps)
	}
	closeNow(t, p)
	p = c.open(t, dir, drop)
	c.link.up()
	flush(t, p)
	var st spoold.TopicStatus // the start may have dropped some more
	eventually(t, "the acks to be on the disk", func() bool {
		st = topicOf(t, p, "t")
		return st.Expired+st.Acked == n
	})
	if st.Accepted != n || st.Expired < before.Expired || st.Acked < 50 {
		t.Errorf("status after the restart %+v", st)
	}
	got := c.read(t, "t", int(st.Acked))
	for i, r := range got {
		if !bytes.HasPrefix(r.Value, value(n-len(got)+i)) {
			t.Fatalf("record %d is %.20q", i, r.Value)
		}
	}
}

func TestQuotasOfTheConfigurationAreChecked(t *testing.T) {
	for value, want := range map[string]string{
		"audit=2GiB:reject, debug=64MiB:drop-oldest,orders=0": "",
		"audit":              "TOPIC=BYTES",
		"audit=1GiB:forget":  "policy must be one of block, reject, drop-oldest",
		"no/topic=1GiB":      "topic",
		"audit=much":         "audit=much",
		"audit=1024":         "at least 64KiB",
		"audit=1GiB,audit=0": "twice",
	} {
		cfg := spoold.DefaultConfig()
		cfg.BootstrapServers, cfg.SpoolPath = []string{"localhost:9092"}, "spool"
		err := cfg.Set("topic.quota.topics", value)
		if err == nil {
			err = cfg.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}
