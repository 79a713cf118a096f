//go:build kafka

package kafka_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/poll"
)

// Records that have become too old for their topic while the cluster was away, by more than an hour, are dead letters that say so, what
// is young enough is delivered, and a replay with the time of now delivers the others.
func TestRecordsThatHaveGrownTooOldAreReplayedWithTheTimeOfNow(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Links: true})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"message.timestamp.before.max.ms": "3631000"}); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), nil)
	old := func(r *spoold.Record) { r.Timestamp = time.Now().Add(-time.Hour - time.Second) } // it may wait for 30 s
	sendEach(t, p, "t", 1, func(_ int, r *spoold.Record) { old(r) })
	drained(t, p)
	link := c.Links()[0]
	link.Refuse()
	comes(t, p, "the link to be down", func(st *spoold.Status) bool { return st.Link == "down" })
	began := time.Now()
	sendEach(t, p, "t", 3, func(_ int, r *spoold.Record) { r.Value = append([]byte("old "), r.Value...); old(r) })
	poll.Within(time.Minute, func() bool { return time.Since(began) > 32*time.Second }) // until they are too old
	if err := link.Heal(); err != nil {
		t.Fatal(err)
	}
	sendEach(t, p, "t", 1, func(_ int, r *spoold.Record) { r.Value = []byte("young") })
	comes(t, p, "three dead letters", func(st *spoold.Status) bool { return st.DeadLetters == 3 && st.Pending == 0 && st.Acked == 2 })
	for _, d := range p.DeadLetters(spoold.DeadLetterFilter{}, -1) {
		if d.Code != "INVALID_TIMESTAMP" || !strings.Contains(d.Message, "imestamp") || d.InDoubt {
			t.Errorf("dead letter %+v", d)
		}
		t.Logf("%s: %s", d.Code, d.Message)
	}
	r, err := p.ReplayDeadLetters(t.Context(), spoold.DeadLetterFilter{}, spoold.DeadLetterReplay{TimestampNow: true})
	if err != nil || r.Records != 3 {
		t.Fatalf("replayed %+v, %v", r, err)
	}
	comes(t, p, "all delivered", func(st *spoold.Status) bool { return st.DeadLetters == 0 && st.Pending == 0 && st.Acked == 5 })
	found, err := c.ReadAll(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, records := range found {
		for _, r := range records {
			got = append(got, string(r.Value))
		}
	}
	if want := "v0 young old v0 old v1 old v2"; strings.Join(got, " ") != want {
		t.Errorf("the topic holds %q, want %q", got, want)
	}
}
