//go:build kafka

package txn_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/poll"
)

// listed asks for the offsets of all topics until every leader has answered: a broker may have started an instant before.
func listed(ctx context.Context, t *testing.T, ask func(context.Context, ...string) (kadm.ListedOffsets, error)) (list kadm.ListedOffsets) {
	t.Helper()
	var err error
	if !poll.Within(60*time.Second, func() bool {
		if list, err = ask(ctx, topics...); err == nil {
			err = list.Error()
		}
		return err == nil
	}) {
		t.Fatal(err)
	}
	return list
}

// verify reads all topics as read_committed and compares with the ledger: each spooled unit once and
// whole, any other one wholly or not at all, per partition in the order of units; and no transaction
// is left open anywhere.
func (l *ledger) verify(t *testing.T, c *kafka.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	defer cancel()
	high := listed(ctx, t, c.Admin().ListEndOffsets)
	// The answer of EndTxn comes before the markers are in the logs, so the last stable offset may follow a little later.
	var stable kadm.ListedOffsets
	open := func(o kadm.ListedOffset) bool {
		s, _ := stable.Lookup(o.Topic, o.Partition)
		return s.Offset < o.Offset
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for waited := 0; ; waited++ {
		stable = listed(ctx, t, c.Admin().ListCommittedOffsets)
		hangs := false
		high.Each(func(o kadm.ListedOffset) { hangs = hangs || open(o) })
		if !hangs || waited == 600 {
			break
		}
		<-tick.C
	}
	left := 0
	high.Each(func(o kadm.ListedOffset) {
		if s, _ := stable.Lookup(o.Topic, o.Partition); open(o) {
			t.Errorf("%s-%d: the last stable offset is %d, the log ends at %d: a transaction hangs", o.Topic, o.Partition, s.Offset, o.Offset)
		}
		if o.Offset > 0 {
			left++
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Direct(), ",")...), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	type place struct{ n, k int }
	seen := map[place]int{}
	sizes := map[int]int{}
	last := map[string]place{}
	records, done := 0, map[string]bool{}
	for len(done) < left { // what ends each partition is handed out: a marker, or a record that is committed
		f := client.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("read back: %v after %d records", err, records)
		}
		f.EachPartition(func(p kgo.FetchTopicPartition) {
			name := fmt.Sprint(p.Topic, "-", p.Partition)
			for _, r := range p.Records {
				if o, _ := high.Lookup(r.Topic, r.Partition); r.Offset+1 >= o.Offset {
					done[name] = true
				}
				if r.Attrs.IsControl() {
					continue
				}
				records++
				var at place
				var size int
				if _, err := fmt.Sscanf(strings.Trim(string(r.Value), `"`), "%d %d %d", &at.n, &at.k, &size); err != nil {
					t.Fatalf("%s: %q is nobody's", name, r.Value)
				}
				seen[at]++
				sizes[at.n] = size
				if was := last[name]; !l.unordered && at.n < was.n || at.n == was.n && at.k <= was.k {
					t.Errorf("%s: record %v comes after %v", name, at, was)
				}
				last[name] = at
			}
		})
	}
	lost, doubled, half, unheard := 0, 0, 0, 0
	for n, size := range sizes {
		got := 0
		for k := range size {
			switch seen[place{n, k}] {
			case 0:
			case 1:
				got++
			default:
				got++
				doubled++
			}
		}
		if got != size {
			half++
		}
		if !l.spooled[n] {
			unheard++
		}
	}
	for n := range l.spooled {
		if sizes[n] == 0 {
			lost++
		}
	}
	t.Logf("%d units spooled, %d more seen; %d records: %d units lost, %d records doubled, %d units half visible", len(l.spooled), unheard, records, lost, doubled, half)
	if lost+doubled+half > 0 {
		t.Errorf("lost %d, doubled %d, half %d", lost, doubled, half)
	}
}
