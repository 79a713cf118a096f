package sender_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// A call costs what it changes: each of these takes about as long with 10,000 idle topics as with 10.
func BenchmarkCallsBesideIdleTopics(b *testing.B) {
	for _, topics := range []int{10, 1000, 10_000} {
		d := newDrive(b, sender.Config{BatchSize: 16384, Seed: 1, MetadataMaxAgeMs: 1 << 50}, 3)
		for n := range topics {
			d.produce(fmt.Sprintf("topic-%d", n), 0, 10)
		}
		d.settle()
		d.pass(5000)
		if n := d.s.Pending(); n != 0 {
			b.Fatalf("%d records are pending before the benchmark", n)
		}
		b.Run(fmt.Sprintf("tick/topics=%d", topics), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				d.carry(d.s.Tick(d.now))
			}
		})
		// One record: its commit, which seals it, the commit of the seal, and the ack.
		b.Run(fmt.Sprintf("record/topics=%d", topics), func(b *testing.B) {
			var commit, ack time.Duration
			for n := range b.N {
				c := d.spool(fmt.Sprintf("topic-%d", n%10), 0, 10)
				began := time.Now() //nolint:forbidigo // it is measured, not decided by
				e := d.s.Committed(d.now, c)
				commit += time.Since(began) //nolint:forbidigo // likewise
				d.carry(e)
				c = &spool.Committed{Writes: d.write}
				d.write = 0
				d.carry(d.s.Committed(d.now, c))
				if len(d.requests) != 1 {
					b.Fatalf("%d requests, want one", len(d.requests))
				}
				resp := d.answer(d.requests[0])
				d.requests = d.requests[:0]
				began = time.Now() //nolint:forbidigo // likewise
				e = d.s.Handle(d.now, resp)
				ack += time.Since(began) //nolint:forbidigo // likewise
				d.carry(e)
			}
			b.ReportMetric(float64(commit.Nanoseconds())/float64(b.N), "ns/commit")
			b.ReportMetric(float64(ack.Nanoseconds())/float64(b.N), "ns/ack")
		})
	}
}
