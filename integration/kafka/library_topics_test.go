//go:build kafka

package kafka_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// A topic that was deleted and created anew is another one. With nothing in doubt its lane is bound to the new one,
// and what is sent from then on arrives there once.
func TestARecreatedTopicIsBoundAnewWithNothingInDoubt(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			c := kafka.Run(t, kafka.Options{Version: version})
			if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
				t.Fatal(err)
			}
			p := mustOpen(t, c, t.TempDir(), nil)
			spooled(t, p, "t", 0, 10)
			drained(t, p)
			if err := c.DeleteTopic(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
			if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
				t.Fatal(err)
			}
			spooled(t, p, "t", 0, 10)
			drained(t, p)
			expect(t, c, "t", 10)
		})
	}
}

// An ack says which time the record has in the log: its own, or the broker's where the topic wants that.
func TestAnAckSaysWhatTimeTheLogHas(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	p := mustOpen(t, c, t.TempDir(), nil)
	own := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for kind, near := range map[string]time.Time{"CreateTime": own, "LogAppendTime": time.Now()} {
		if err := c.CreateTopic(t.Context(), kind, 1, map[string]string{"message.timestamp.type": kind}); err != nil {
			t.Fatal(err)
		}
		d, err := p.Send(t.Context(), spoold.Record{Topic: kind, Value: []byte("v"), Timestamp: own})
		if err != nil {
			t.Fatal(err)
		}
		ack, err := d.Acked(t.Context())
		if off := ack.Timestamp.Sub(near); err != nil || off < -time.Second || off > 10*time.Minute || kind == "CreateTime" && off != 0 {
			t.Errorf("%s: the ack says %v, %v; the record's time is %v", kind, ack.Timestamp, err, own)
		}
	}
}

// S-42 and the refusals of "Bad input": what the broker refuses is dead-lettered, and the
// rest goes on in order.
func TestARefusedRecordIsDeadLetteredAndTheRestIsDelivered(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), map[string]string{"batch.size": "16384", "linger.ms": "50"})
	var large spoold.Delivery
	for i := range 200 {
		if i == 100 {
			d, err := p.Send(t.Context(), spoold.Record{Topic: "t", Key: []byte("k"), Value: make([]byte, 5000)})
			if err != nil {
				t.Fatal(err)
			}
			large = d
		}
		if _, err := p.Send(t.Context(), spoold.Record{Topic: "t", Key: []byte("k"), Value: fmt.Appendf(nil, "v%d", i),
			Headers: []spoold.Header{{Key: "h", Value: []byte("x")}}}); err != nil {
			t.Fatal(err)
		}
	}
	drained(t, p)
	if _, err := large.Acked(t.Context()); err == nil || !strings.Contains(err.Error(), "MESSAGE_TOO_LARGE") {
		t.Errorf("the large record's delivery says %v, want MESSAGE_TOO_LARGE", err)
	}
	comes(t, p, "1 dead letter and 200 acked", func(st *spoold.Status) bool { return st.DeadLettered == 1 && st.Acked == 200 })
	expect(t, c, "t", 200)
}

func TestATopicThatDoesNotExistWaitsUntilSomebodyCreatesIt(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Props: map[string]string{"auto.create.topics.enable": "false"}})
	p := mustOpen(t, c, t.TempDir(), nil)
	spooled(t, p, "missing", 0, 5)
	spooled(t, p, "other", 0, 5)
	comes(t, p, "the state unknown-topic", func(st *spoold.Status) bool {
		return len(st.Topics) == 2 && st.Topics[0].State == "unknown-topic" && strings.Contains(st.Topics[0].Detail, "UNKNOWN_TOPIC")
	})
	if err := c.CreateTopic(t.Context(), "missing", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(t.Context(), "other", 1, nil); err != nil {
		t.Fatal(err)
	}
	drained(t, p)
	expect(t, c, "missing", 5)
}

// While there are enough replicas in sync, one that is down costs no time-out and no retry.
func TestAFollowerThatIsDownCostsNoRetry(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Brokers: 3})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"min.insync.replicas": "2"}); err != nil {
		t.Fatal(err)
	}
	leader, err := c.Leader(t.Context(), "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), nil)
	spooled(t, p, "t", 0, 100)
	drained(t, p)
	if err := c.Stop((leader + 1) % 3); err != nil {
		t.Fatal(err)
	}
	spooled(t, p, "t", 100, 100)
	drained(t, p)
	if n := p.Status().Retries; n != 0 {
		t.Errorf("%d retries", n)
	}
	if err := c.Start(t.Context(), (leader+1)%3); err != nil {
		t.Fatal(err)
	}
	if err := c.InSync(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	expect(t, c, "t", 200)
}
