package sender_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// A call costs what it changes: each of these takes about as long with 10,000 topics as with 10, whether nothing of the
// others is pending (idle), or each has a batch that waits for company (waiting).
func BenchmarkCallsBesideOtherTopics(b *testing.B) {
	for _, others := range []string{"idle", "waiting"} {
		for _, topics := range []int{10, 1000, 10_000} {
			name := fmt.Sprintf("others=%s/topics=%d", others, topics)
			d := besideTopics(b, topics, others == "waiting")
			b.Run("tick/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					d.carry(d.s.Tick(d.now))
				}
			})
			b.Run("record/"+name, func(b *testing.B) { benchmarkRecord(b, d) })
			b.Run("new-topic/"+name, func(b *testing.B) { benchmarkNewTopic(b, d) })
		}
	}
}

// besideTopics is a drive with so many topics, of 3 partitions each, of which one record has left.
func besideTopics(b *testing.B, topics int, waiting bool) *drive {
	cfg := sender.Config{BatchSize: 1024, BufferMemory: 64 << 20, LingerMs: 1, Seed: 1, MetadataMaxAgeMs: 1 << 50}
	if waiting {
		cfg.LingerMs = 1 << 40
	}
	d := newDrive(b, cfg, 3)
	for n := range topics {
		d.produce(fmt.Sprintf("topic-%d", n), 0, 2000)
	}
	d.settle()
	d.pass(5000)
	if n := d.s.Pending(); n != 0 {
		b.Fatalf("%d records are pending before the benchmark", n)
	}
	if waiting {
		for n := range topics {
			d.produce(fmt.Sprintf("topic-%d", n), 1, 10)
		}
		d.settle()
	}
	return d
}

// benchmarkRecord is one record that fills a batch: its commit, which seals it, the commit of the seal, and the ack.
// Commit and ack are medians.
func benchmarkRecord(b *testing.B, d *drive) {
	var commit, ack []time.Duration
	for n := range b.N {
		c := d.spool(fmt.Sprintf("topic-%d", n%10), 0, 2000)
		began := time.Now() //nolint:forbidigo // it is measured, not decided by
		e := d.s.Committed(d.now, c)
		commit = append(commit, time.Since(began)) //nolint:forbidigo // likewise
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
		ack = append(ack, time.Since(began)) //nolint:forbidigo // likewise
		d.carry(e)
	}
	b.ReportMetric(median(commit), "ns/commit")
	b.ReportMetric(median(ack), "ns/ack")
}

// benchmarkNewTopic is the answer to metadata about one new topic. It is a median.
func benchmarkNewTopic(b *testing.B, d *drive) {
	var took []time.Duration
	for range b.N {
		d.produce(fmt.Sprintf("new-%d", len(d.topics)), 0, 10)
		if len(d.requests) != 1 {
			b.Fatalf("%d requests, want one", len(d.requests))
		}
		resp := d.answer(d.requests[0])
		d.requests = d.requests[:0]
		began := time.Now() //nolint:forbidigo // it is measured, not decided by
		e := d.s.Handle(d.now, resp)
		took = append(took, time.Since(began)) //nolint:forbidigo // likewise
		d.carry(e)
		d.settle()
	}
	b.ReportMetric(median(took), "ns/answer")
}

// median is in ns. It is the same on a busy machine, which the mean is not.
func median(list []time.Duration) float64 {
	slices.Sort(list)
	return float64(list[len(list)/2].Nanoseconds())
}
