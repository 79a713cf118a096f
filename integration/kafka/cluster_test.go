//go:build kafka

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/integration/kafka"
)

func produce(t *testing.T, bootstrap, topic string, from, n int) error {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range n {
		client.Produce(ctx, &kgo.Record{Key: []byte("k"), Value: fmt.Appendf(nil, "v%d", from+i),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}}, nil)
	}
	return client.Flush(ctx)
}

// expect reads the topic back and wants v0 … v(n-1) in order on one partition.
func expect(t *testing.T, c *kafka.Cluster, topic string, n int) {
	t.Helper()
	found, err := c.ReadAll(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for p, records := range found {
		for i, r := range records {
			if want := fmt.Sprintf("v%d", i); string(r.Value) != want || r.Offset != int64(i) {
				t.Fatalf("partition %d offset %d holds %q, want %q", p, r.Offset, r.Value, want)
			}
			if string(r.Key) != "k" || len(r.Headers) != 1 || r.Headers[0].Key != "h" {
				t.Fatalf("partition %d offset %d: key %q, headers %v", p, r.Offset, r.Key, r.Headers)
			}
		}
		total += len(records)
	}
	if total != n {
		t.Fatalf("%s holds %d records, want %d", topic, total, n)
	}
}

func TestOneBrokerKeepsItsRecordsThroughSigkill(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			c := kafka.Run(t, kafka.Options{Version: version})
			if err := c.CreateTopic(t.Context(), "t", 3, map[string]string{"segment.bytes": "1048576"}); err != nil {
				t.Fatal(err)
			}
			if err := produce(t, c.Bootstrap(), "t", 0, 100); err != nil {
				t.Fatal(err)
			}
			if err := c.Kill(0); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := c.Start(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			t.Logf("back after %.1f s", time.Since(began).Seconds())
			if err := produce(t, c.Bootstrap(), "t", 100, 100); err != nil {
				t.Fatal(err)
			}
			expect(t, c, "t", 200)
			if err := c.AlterTopicConfig(t.Context(), "t", map[string]string{"max.message.bytes": "5000"}); err != nil {
				t.Fatal(err)
			}
			if err := c.DeleteTopic(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestThreeBrokersElectAnotherLeaderWhenTheLeaderIsKilled(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			c := kafka.Run(t, kafka.Options{Version: version, Brokers: 3})
			if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
				t.Fatal(err)
			}
			if err := produce(t, c.Bootstrap(), "t", 0, 100); err != nil {
				t.Fatal(err)
			}
			before, err := c.Leader(t.Context(), "t", 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Kill(before); err != nil {
				t.Fatal(err)
			}
			if err := produce(t, c.Bootstrap(), "t", 100, 100); err != nil {
				t.Fatal(err)
			}
			after, err := c.Leader(t.Context(), "t", 0)
			if err != nil {
				t.Fatal(err)
			}
			if after == before {
				t.Fatalf("broker %d was killed and still leads", before)
			}
			if err := c.Start(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			if err := c.InSync(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
			if err := c.Stop(after); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(t.Context(), after); err != nil {
				t.Fatal(err)
			}
			expect(t, c, "t", 200)
		})
	}
}

func TestClientBehindALinkCannotGoAroundIt(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Links: true})
	if err := c.CreateTopic(t.Context(), "t", 3, nil); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, c.Bootstrap(), "t", 0, 10); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []func(){c.Links()[0].Refuse, c.Links()[0].Hang} {
		fault()
		client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := client.Ping(ctx); err == nil {
			t.Error("the broker answered through a broken link")
		}
		cancel()
		client.Close()
		expect(t, c, "t", 10) // the harness itself is on no link
		if err := c.Links()[0].Heal(); err != nil {
			t.Fatal(err)
		}
	}
	if err := produce(t, c.Bootstrap(), "t", 10, 10); err != nil {
		t.Fatal(err)
	}
	expect(t, c, "t", 20)
}

func TestPausedBrokerHangsAndGoesOnWhenResumed(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	if err := c.Pause(0); err != nil {
		t.Fatal(err)
	}
	// The kernel stops a process a moment after the signal; from then on nothing is answered.
	silent := func() bool {
		client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()), kgo.RequestTimeoutOverhead(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		return errors.Is(client.Ping(ctx), context.DeadlineExceeded)
	}
	for deadline := time.Now().Add(10 * time.Second); !silent(); {
		if time.Now().After(deadline) {
			t.Fatal("a paused broker still answers")
		}
	}
	if err := c.Resume(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}
