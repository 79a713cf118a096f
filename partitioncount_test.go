package spoold_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

// The first look asks the cluster once, however many look at a time, and makes no topic; later ones ask nobody.
func TestPartitionCountAsksTheClusterOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "t"))
	p := c.open(t, t.TempDir())
	var asked atomic.Int32
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, topic := range req.(*kmsg.MetadataRequest).Topics {
			if topic.Topic != nil {
				asked.Add(1)
			}
		}
		return nil, nil, false
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if n := p.PartitionCount(patient(t), "t"); n != 2 {
				t.Errorf("PartitionCount = %d, want 2", n)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}
	for range 3 {
		if n := p.PartitionCount(patient(t), "missing"); n != 0 {
			t.Errorf("PartitionCount of a topic that is not there = %d", n)
		}
	}
	if n := asked.Load(); n != 2 || c.TopicInfo("missing") != nil {
		t.Errorf("the cluster was asked %d times; the topic was made: %v", n, c.TopicInfo("missing") != nil)
	}
}

// With the cluster away a look costs no time once that is known, and a caller's context ends the first one.
func TestPartitionCountDoesNotWaitForAnOutage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.ReconnectMax = cfg.ReconnectBackoff })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if n := p.PartitionCount(ctx, "t"); n != 0 {
		t.Errorf("PartitionCount = %d", n)
	}
	eventually(t, "the link's error", func() bool { return p.Peek().LinkError != "" })
	begin := time.Now()
	if n, took := p.PartitionCount(patient(t), "t"), time.Since(begin); n != 0 || took > time.Second/2 {
		t.Errorf("PartitionCount = %d after %v", n, took)
	}
}

// A record for a partition that its topic does not have is refused where the cluster says so, and taken as soon as it is added.
func TestSendRefusesAPartitionThatItsTopicDoesNotHave(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.MetadataMaxAge = time.Second })
	third := spoold.Record{Topic: "t", Partition: spoold.ToPartition(2), Value: []byte("v")}
	sends := map[string]func() error{
		"Send":     func() error { _, err := p.Send(patient(t), third); return err },
		"SendFunc": func() error { return p.SendFunc(patient(t), third, func(spoold.Ack, error) {}) },
		"SendBatch": func() error {
			_, err := p.SendBatch(patient(t), spoold.Batch{Records: []spoold.Record{third}})
			return err
		},
	}
	send(t, p, "t", 0, 4)
	flush(t, p)
	eventually(t, "the partitions are counted", func() bool { return p.PartitionCount(patient(t), "t") == 2 })
	for name, send := range sends {
		if err := send(); !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), "topic t has no partition 2: it has 2") {
			t.Errorf("%s = %v", name, err)
		}
	}
	if n := p.Status().Accepted; n != 4 {
		t.Errorf("%d records were taken, want 4", n)
	}
	c.admin(t, func(a *kadm.Client) error { _, err := a.CreatePartitions(patient(t), 1, "t"); return err })
	eventually(t, "the added partition is known", func() bool { return sends["Send"]() == nil })
	flush(t, p)
	// A repeat may be of what was taken already, so it is; and nothing is refused while the cluster cannot be asked.
	third.Partition = spoold.ToPartition(9)
	if _, err := p.SendBatch(patient(t), spoold.Batch{Key: "k", Records: []spoold.Record{third}}); err != nil {
		t.Errorf("SendBatch with a key = %v", err)
	}
	c.link.down()
	eventually(t, "the link is down", func() bool { return p.Status().Link == "down" })
	if _, err := p.Send(patient(t), third); err != nil {
		t.Errorf("Send in an outage = %v", err)
	}
}
