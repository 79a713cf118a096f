package bolt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

// Nothing of its batch is stored.
func TestATopicMoreThanTheSpoolMayHaveIsRefused(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MaxTopics = 3
	l, _ := openLoop(t, o)
	ctx := context.Background()
	batch := func(topics ...string) error {
		b := &BatchInput{}
		for _, topic := range topics {
			b.Records = append(b.Records, RecordInput{Topic: topic, Partition: -1, Value: []byte("v")})
		}
		tk, err := l.s.AppendBatch(ctx, b)
		if err != nil {
			return err
		}
		return tk.Spooled(ctx)
	}
	if err := batch("a", "b", "a"); err != nil {
		t.Fatal(err)
	}
	if err := batch("a", "c", "c", "d"); !errors.Is(err, ErrTooManyTopics) || !strings.Contains(err.Error(), "spool.max.topics = 3") {
		t.Errorf("two new topics where one fits: %v", err)
	}
	st, lanes := l.s.Lanes()
	if st.Counters.Accepted != 3 || len(lanes) != 2 {
		t.Errorf("after the refusal: %d records on %d topics, want 3 on 2", st.Counters.Accepted, len(lanes))
	}
	if err := batch("c", "a"); err != nil {
		t.Errorf("the last topic that fits: %v", err)
	}
	if _, err := l.s.Append(ctx, "d", 1, -1, nil, []byte("v"), nil); !errors.Is(err, ErrTooManyTopics) {
		t.Errorf("a record of a fourth topic: %v", err)
	}
	if err := batch("a", "b", "c"); err != nil {
		t.Errorf("topics that are known: %v", err)
	}
	// A spool that has more than are allowed now is opened, and takes what it knows.
	l.close()
	o.MaxTopics = 1
	l, _ = openLoop(t, o)
	if err := batch("c"); err != nil {
		t.Errorf("a known topic of a spool with too many: %v", err)
	}
	if err := batch("d"); !errors.Is(err, ErrTooManyTopics) {
		t.Errorf("another topic for a spool with too many: %v", err)
	}
}

func TestTheLanesAddUpToTheWholeLiveAndOffline(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	ctx := context.Background()
	var last Ticket
	for i := range 400 {
		topic := []string{"a", "b", "c"}[i%3]
		tk, err := l.s.Append(ctx, topic, int64(1000+i), -1, nil, make([]byte, 100), nil)
		if err != nil {
			t.Fatal(err)
		}
		if last = tk; i%7 == 0 {
			if err := last.Spooled(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := last.Spooled(ctx); err != nil {
		t.Fatal(err)
	}
	l.settle("a", spool.Span{First: 0, End: 134}) // all of it
	l.settle("b", spool.Span{First: 0, End: 50})
	st, lanes := l.s.Lanes()
	var sum spool.Counters
	for _, x := range lanes {
		sum = sum.Add(x.Counters)
	}
	if sum != st.Counters || st.Counters.Pending() != 400-134-50 {
		t.Errorf("the lanes add up to %+v, the whole is %+v", sum, st.Counters)
	}
	b := lanes[slices.IndexFunc(lanes, func(x LaneStats) bool { return x.Topic == "b" })]
	if b.Low != 50 || b.Counters.Pending() != 83 {
		t.Errorf("lane b: %+v", b)
	}
	for topic, n := range l.s.LaneBytes() {
		if (n > 0) != (topic != "a") || n > 20*400*100 {
			t.Errorf("pending records of %s take %d bytes", topic, n)
		}
	}
	l.close()
	in, err := Look(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	use, err := in.Use()
	if err != nil {
		t.Fatal(err)
	}
	for id, u := range use {
		want := map[string]LaneUse{"a": {}, "b": {Oldest: 1000 + 1 + 3*50}, "c": {Oldest: 1000 + 2}}[lanes[id].Topic]
		pending := int64(lanes[id].Counters.Pending())
		if u.Oldest != want.Oldest || u.Bytes < pending*100 || pending == 0 && u.Bytes != 0 {
			t.Errorf("offline, %s: %+v for %d pending records, want the oldest of %d", lanes[id].Topic, u, pending, want.Oldest)
		}
	}
}
