package spoold_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
