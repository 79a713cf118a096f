//go:build kafka

package txn_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/poll"
)

// A leader whose followers have stopped tells a consumer how far its log is replicated, and a debugger where it ends: by the difference
// spoold knows a marker that may be cut off yet.
func TestALeaderTellsWhatOfItsLogIsNotReplicated(t *testing.T) {
	c := cluster(t, 2, 3)
	if err := c.CreateTopic(t.Context(), "d", 1, map[string]string{"min.insync.replicas": "1"}); err != nil {
		t.Fatal(err)
	}
	leader, err := c.Leader(t.Context(), "d", 0)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Direct(), ",")...), kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	limit, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	put := func() {
		t.Helper()
		if err := client.ProduceSync(limit, &kgo.Record{Topic: "d", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(replica int32) int64 {
		t.Helper()
		q := kmsg.NewPtrListOffsetsRequest()
		q.ReplicaID = replica
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "d", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		r, err := q.RequestWith(limit, client.Broker(leader+1))
		if err != nil {
			t.Fatal(err)
		}
		if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatalf("ListOffsets as replica %d: error code %d", replica, code)
		}
		return r.Topics[0].Partitions[0].Offset
	}
	put()
	if !poll.Within(60*time.Second, func() bool { return ask(-1) == 1 }) {
		t.Fatalf("the first record is not replicated: the high watermark is %d", ask(-1))
	}
	for b := range c.Brokers() {
		if b == leader {
			continue
		}
		if err := c.Pause(b); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Resume(b) }()
	}
	put()
	if high, end := ask(-1), ask(-2); high != 1 || end != 2 {
		t.Errorf("a consumer is told %d, a debugger %d; want 1 and 2", high, end)
	}
}
