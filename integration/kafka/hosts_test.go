//go:build kafka

package kafka_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// sendEach sends v0 … v(n-1) with what change makes of them, one Send each, and returns their deliveries.
func sendEach(t *testing.T, p *spoold.Producer, topic string, n int, change func(i int, r *spoold.Record)) []spoold.Delivery {
	t.Helper()
	var list []spoold.Delivery
	for i := range n {
		r := spoold.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "v%d", i), Headers: []spoold.Header{{Key: "h", Value: []byte("x")}}}
		if change != nil {
			change(i, &r)
		}
		d, err := p.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// A compacted topic refuses records without a key, and names each with its reason. They go to the dead letter topic.
func TestRecordsWithoutAKeyAreDeadLettersWithTheirOwnReason(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	retried := 0
	cfg := config(t, c, t.TempDir(), map[string]string{"linger.ms": "200"})
	p, err := spoold.Open(cfg, spoold.Env{Hooks: spoold.Hooks{BatchRetried: func(spoold.BatchRetried) { retried++ }}})
	if err != nil {
		t.Fatal(err)
	}
	sendEach(t, p, "t", 100, func(i int, r *spoold.Record) {
		if i%10 == 7 {
			r.Key = nil
		}
	})
	drained(t, p)
	comes(t, p, "ten dead letters", func(st *spoold.Status) bool { return st.DeadLettered == 10 && st.Acked == 90 })
	for i, d := range p.DeadLetters(spoold.DeadLetterFilter{}, -1) {
		if d.Code != "INVALID_RECORD" || !strings.Contains(d.Message, "key") || d.Index != uint64(10*i+7) || d.InDoubt {
			t.Errorf("dead letter %+v", d)
		}
	}
	stop(t, p)
	if retried > 6 {
		t.Errorf("%d batches were sent once more for ten refused records that the broker names", retried)
	}
	if err := c.CreateTopic(t.Context(), "dead", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Set("dlq.topic", "dead"); err != nil {
		t.Fatal(err)
	}
	if p, err = spoold.Open(cfg, spoold.Env{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	comes(t, p, "the dead letters to leave", func(st *spoold.Status) bool { return st.DeadLetters == 0 && st.Pending == 0 && st.Acked == 100 })
	found, err := c.ReadAll(t.Context(), "dead")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, records := range found {
		for _, r := range records {
			if want := fmt.Sprintf("v%d", 10*n+7); string(r.Value) != want || len(r.Headers) < 8 || r.Headers[1].Key != "__connect.errors.topic" || string(r.Headers[1].Value) != "t" {
				t.Errorf("dead letter %d is %q with %v, want %s", n, r.Value, r.Headers, want)
			}
			n++
		}
	}
	if n != 10 {
		t.Errorf("the dead-letter topic holds %d records, want 10", n)
	}
}

// A host whose clock is ahead stamps records that the broker refuses now and takes later: they wait, in order, and none is lost.
func TestRecordsStampedAheadOfTheBrokerWaitUntilItTakesThem(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"message.timestamp.after.max.ms": "1000"}); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), nil)
	ahead := time.Now().Add(6 * time.Second)
	sendEach(t, p, "t", 20, func(i int, r *spoold.Record) {
		if i >= 10 {
			r.Timestamp = ahead
		}
	})
	comes(t, p, "trouble that says why", func(st *spoold.Status) bool {
		return len(st.Topics) == 1 && strings.Contains(st.Topics[0].Trouble, "ahead of the broker's clock")
	})
	drained(t, p)
	comes(t, p, "all acked", func(st *spoold.Status) bool { return st.Acked == 20 && st.DeadLettered == 0 })
	expect(t, c, "t", 20)
}

// Where the topic takes smaller batches than batch.size, its configuration says so after the first refusal: what was under way then is refused, and
// hardly anything after it.
func TestTheSizeThatATopicTakesIsLearnt(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"max.message.bytes": "10000"}); err != nil {
		t.Fatal(err)
	}
	refused, acked := 0, 0
	p, err := spoold.Open(config(t, c, t.TempDir(), map[string]string{"batch.size": "131072"}), spoold.Env{Hooks: spoold.Hooks{
		BatchRetried: func(e spoold.BatchRetried) {
			if e.Code == 10 {
				refused++
			}
		},
		BatchAcked: func(spoold.BatchAcked) { acked++ },
	}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	sendEach(t, p, "t", n, nil)
	drained(t, p)
	comes(t, p, "all acked", func(st *spoold.Status) bool { return st.Acked == n && st.DeadLettered == 0 })
	stop(t, p)
	expect(t, c, "t", n)
	t.Logf("%d batches acked, %d refused for their size", acked, refused)
	if refused > acked/50+5 {
		t.Errorf("%d batches acked, %d refused for their size", acked, refused)
	}
}

// Records expire while the cluster is away, and a batch in doubt does not before it is resolved.
func TestRecordsExpireWhileTheBrokerIsAway(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), map[string]string{"request.timeout.ms": "1000", "delivery.timeout.ms": "2000", "linger.ms": "0"})
	first := sendEach(t, p, "t", 1, nil)
	drained(t, p)
	if err := c.Pause(0); err != nil { // it hangs: what is sent now is in doubt
		t.Fatal(err)
	}
	doubt := sendEach(t, p, "t", 2, func(i int, r *spoold.Record) { r.Value = fmt.Appendf(nil, "v%d", i+1) })
	comes(t, p, "a batch in flight", func(st *spoold.Status) bool {
		return len(st.Topics) == 1 && len(st.Topics[0].Partitions) == 1 && st.Topics[0].Partitions[0].InFlight > 0
	})
	if err := c.Kill(0); err != nil {
		t.Fatal(err)
	}
	late := sendEach(t, p, "t", 5, func(_ int, r *spoold.Record) { r.Value = []byte("late") })
	if _, err := late[4].Acked(t.Context()); !errors.Is(err, spoold.ErrExpired) {
		t.Errorf("Acked of one that was never sent = %v, want ErrExpired", err)
	}
	if _, err, ok := doubt[0].TryAcked(); ok {
		t.Errorf("what is in doubt is decided: %v", err)
	}
	if err := c.Start(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	drained(t, p)
	for _, d := range append(first, doubt[0]) {
		if _, err := d.Acked(t.Context()); err != nil {
			t.Errorf("Acked = %v", err)
		}
	}
	st := p.Status()
	if st.Accepted != st.Acked+st.Pending+st.DeadLettered+st.Expired || st.Expired < 5 {
		t.Errorf("%+v", st)
	}
	found, err := c.ReadAll(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	for _, records := range found {
		for i, r := range records {
			if want := fmt.Sprintf("v%d", i); string(r.Value) != want {
				t.Errorf("offset %d holds %q, want %q", i, r.Value, want)
			}
		}
		if uint64(len(records)) != 8-st.Expired {
			t.Errorf("%d records are in the topic, %d have expired of 8", len(records), st.Expired)
		}
	}
}
