//go:build kafka

package security_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/poll"
)

const writeTxnMarkers = 27 // the key of that request

// Of a topic without READ the last stable offset shows whether a transaction has ended. One broker of Kafka 4.3.1 that is killed right
// behind its answer to EndTxn loses markers: they are written again, by the same process or by the next one, and an abort behind them
// takes nothing away. Each unit is in a topic with READ, too, which its number is committed on.
func TestLostMarkersInATopicWithoutReadLoseNothing(t *testing.T) {
	r := run(t, kafka.Newest, "SASL_SSL", nil, func(o *kafka.Options) { o.Inner = true })
	r.Inner(0).SetMix(link.Mix{Delay: 500 * time.Millisecond})
	if _, err := r.Admin().CreateTopic(t.Context(), 1, 1, nil, "read"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Admin().CreateTopic(t.Context(), 1, 1, nil, "unread"); err != nil {
		t.Fatal(err)
	}
	for i := range transactionRights {
		r.give(&transactionRights[i], "bob", "read", "id")
	}
	r.give(&transactionRights[0], "bob", "unread", "id") // WRITE
	cfg := r.config(map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "PLAIN",
		"sasl.username": "bob", "sasl.password": "bob-secret", "transactional.id": "id"})
	var kill atomic.Bool
	dead := make(chan error, 1)
	troubles := make(chan spoold.TopicTrouble, 100)
	env := spoold.Env{Hooks: spoold.Hooks{
		TransactionEnded: func(e spoold.TransactionEnded) {
			if e.Committed && e.Records > 0 && kill.CompareAndSwap(true, false) {
				dead <- r.Kill(0)
			}
		},
		TopicTrouble:       func(e spoold.TopicTrouble) { troubles <- e },
		TransactionTrouble: func(e spoold.TransactionTrouble) { t.Log(e.Message) },
	}}
	start := func() *spoold.Producer {
		p, err := spoold.Open(cfg, env)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	limit := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		t.Cleanup(cancel)
		return ctx
	}
	p, units, written := start(), 0, 0
	for i := 0; i < 2 || i < 12 && written == 0; i++ { // a broker that is back at once may lose nothing
		r.Inner(0).Aim(writeTxnMarkers, link.DelayRequest, nil) // they would be there before the answer to EndTxn is seen here
		kill.Store(true)
		b := spoold.Batch{}
		for range 3 {
			b.Records = append(b.Records, spoold.Record{Topic: "unread", Value: []byte("kept")}, spoold.Record{Topic: "read", Value: []byte("kept")})
		}
		if _, err := p.SendBatch(limit(), b); err != nil {
			t.Fatal(err)
		}
		units++
		if err := <-dead; err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = p.Close(ctx)
			cancel()
		}
		if err := r.Start(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			if !poll.Within(patience, func() bool { return p.Close(limit()) == nil }) {
				t.Fatal("the producer does not close")
			}
			written += p.Status().Transaction.MarkersWritten
			p = start()
		}
		if err := p.Flush(limit()); err != nil {
			t.Fatalf("%v: %+v", err, p.Status())
		}
		tx, err := p.Begin(limit())
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"unread", "read"} {
			if err := tx.Send(limit(), spoold.Record{Topic: topic, Value: []byte("aborted")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Abort(limit()); err != nil {
			t.Fatal(err)
		}
	}
	written += p.Status().Transaction.MarkersWritten
	if err := p.Close(limit()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %d markers that the broker had lost were written", units, written)
	if written == 0 {
		t.Error("no marker was lost: the test shows nothing")
	}
	if e := <-troubles; e.Topic != "unread" || !e.Delivered || !strings.Contains(e.Message, "grant READ") {
		t.Errorf("reported: %+v", e)
	}
	for _, topic := range []string{"unread", "read"} {
		found, err := r.ReadAll(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, list := range found {
			for _, rec := range list {
				if string(rec.Value) == "kept" {
					n++
				}
			}
			if n != len(list) {
				t.Errorf("%s: %d of %d records were to be seen", topic, n, len(list))
			}
		}
		if n != 3*units {
			t.Errorf("%s holds %d records, want %d", topic, n, 3*units)
		}
	}
}
