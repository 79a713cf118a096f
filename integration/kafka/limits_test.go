//go:build kafka

package kafka_test

import (
	"errors"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// A record that was too old for its topic when it came is a dead letter, alone, also from among others of a compressed batch; one within the limit is
// delivered.
func TestATimeOutsideTheLimitsOfATopicStopsThatRecordAlone(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	for _, codec := range []string{"none", "zstd"} {
		if err := c.CreateTopic(t.Context(), codec, 1, map[string]string{"message.timestamp.before.max.ms": "3600000"}); err != nil {
			t.Fatal(err)
		}
		p := mustOpen(t, c, t.TempDir(), map[string]string{"compression.type": codec, "linger.ms": "100"})
		var list []spoold.Delivery
		for i := range 10 {
			r := spoold.Record{Topic: codec, Value: []byte("v"), Timestamp: time.Now().Add(-30 * time.Minute)}
			if i == 4 {
				r.Timestamp = r.Timestamp.Add(-24 * time.Hour)
			}
			d, err := p.Send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, d)
		}
		for i, d := range list {
			_, err := d.Acked(t.Context())
			var refused *spoold.RefusedError
			if i != 4 && err != nil || i == 4 && (!errors.As(err, &refused) || refused.Code != "INVALID_TIMESTAMP") {
				t.Errorf("%s: record %d: %v", codec, i, err)
			}
		}
	}
}

// Replication makes progress with a record that is larger than what a replica asks for.
func TestARecordLargerThanReplicasFetchAtOnceIsAcked(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Brokers: 3, Props: map[string]string{"replica.fetch.max.bytes": "2048", "replica.fetch.response.max.bytes": "2048"}})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"min.insync.replicas": "3"}); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), nil)
	d, err := p.Send(t.Context(), spoold.Record{Topic: "t", Value: make([]byte, 500_000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Acked(t.Context()); err != nil {
		t.Error(err)
	}
}
