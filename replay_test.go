package spoold_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// A record that is too old for its topic, or is for a partition that is not there, could be replayed for ever.
func TestAReplayMayGiveANewTimeAndPartition(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir())
	began := time.Now().Truncate(time.Millisecond)
	if _, err := p.Send(context.Background(), spoold.Record{Topic: "t", Partition: spoold.ToPartition(99), Value: []byte("old"), Timestamp: time.UnixMilli(1000)}); err != nil {
		t.Fatal(err)
	}
	send(t, p, "t", 0, 1)
	c.read(t, "t", 1)
	eventually(t, "the record to be put aside", func() bool {
		r, err := p.Resolve(patient(t), "t", 99, spoold.DeadLetter)
		return err == nil && r.Records == 1
	})
	r, err := p.ReplayDeadLetters(patient(t), spoold.DeadLetterFilter{}, spoold.DeadLetterReplay{TimestampNow: true, ChoosePartition: true})
	if err != nil || r.Records != 1 {
		t.Fatalf("replayed %+v, %v", r, err)
	}
	got := c.read(t, "t", 2)[1]
	if string(got.Value) != "old" || got.Partition != 0 || got.Timestamp.Before(began) {
		t.Errorf("%q went to partition %d with the time %v", got.Value, got.Partition, got.Timestamp)
	}
}
