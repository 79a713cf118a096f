package spoold_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// BenchmarkBatchesThatAreCut sends records of 100 bytes that compress well, and then some that do not compress: batches that were filled by the
// estimate are refused for their size, and cut. It says how many of the latter were acked in a second.
func BenchmarkBatchesThatAreCut(b *testing.B) {
	for _, size := range []int{1 << 10, 4 << 10, 64 << 10} {
		for _, cut := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch.size=%d/cut=%v", size, cut), func(b *testing.B) {
				limit := "1048588"
				if cut {
					limit = fmt.Sprint(size * 9 / 10)
				}
				c := newCluster(b, kfake.SeedTopics(1, "t"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": limit}))
				p := c.open(b, b.TempDir(), func(cfg *spoold.Config) {
					cfg.CompressionType = "lz4"
					if err := cfg.Set("batch.size", fmt.Sprint(size)); err != nil {
						b.Fatal(err)
					}
				})
				plain := make([]byte, 100)
				for range 400 * size / 100 { // the estimate follows slowly
					if _, err := p.Send(context.Background(), spoold.Record{Topic: "t", Value: plain}); err != nil {
						b.Fatal(err)
					}
				}
				flush(b, p)
				rng := rand.New(rand.NewPCG(1, 2))
				value := make([]byte, 100)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					for i := range value {
						value[i] = byte(rng.Uint32())
					}
					if _, err := p.Send(context.Background(), spoold.Record{Topic: "t", Value: value}); err != nil {
						b.Fatal(err)
					}
				}
				flush(b, p)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(float64(p.Status().Retries), "retries")
			})
		}
	}
}
