package spoold_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// BenchmarkSend is the whole way of a record of 100 bytes: Send, spool commit, batch,
// Produce, ack, settlement; the time and the allocations of everything in this
// process, embedded broker included (which stores nothing).
func BenchmarkSend(b *testing.B) {
	c := newCluster(b, kfake.SeedTopics(3, "t"), kfake.BlackholeProduce())
	p := c.open(b, b.TempDir())
	r := spoold.Record{Topic: "t", Value: bytes.Repeat([]byte("0123456789"), 10)}
	ctx := context.Background()
	b.SetBytes(100)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := p.Send(ctx, r); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
}
