package broker_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// What a simulation pays for a Produce of one small batch, from Receive to the answer, replication included. The request is made outside of
// the clock.
func BenchmarkProduce(b *testing.B) {
	for _, brokers := range []int32{1, 3} {
		for _, inFlight := range []int{1, 5} {
			b.Run(fmt.Sprintf("brokers=%d/inflight=%d", brokers, inFlight), func(b *testing.B) { benchmarkProduce(b, brokers, inFlight) })
		}
	}
}

const fresh = 1000 // requests, after which a new cluster is made, as a simulation does

func benchmarkProduce(b *testing.B, brokers int32, inFlight int) {
	b.ReportAllocs()
	for done := 0; done < b.N; done += fresh {
		b.StopTimer()
		l := newLab(b, broker.Config{Brokers: brokers})
		topic := l.topic(1, broker.TopicConfig{})
		n := min(fresh, b.N-done)
		requests := make([]*kmsg.ProduceRequest, n)
		for i := range requests {
			requests[i] = raw.Produce(11, -1, 30_000, raw.Part{Topic: topic, Records: l.seq(int32(5*i), 5).Bytes()})
		}
		k, _ := l.Open(l.to(topic), func() {})
		answered, sent := 0, 0
		answer := func(r kmsg.Response) {
			if code := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
				b.Fatal(raw.Code(code))
			}
			answered++
		}
		b.StartTimer()
		for answered < n {
			for ; sent < n && sent-answered < inFlight; sent++ {
				k.Receive(requests[sent], answer)
			}
			l.a.Step()
		}
	}
}

// A history of 200 records is 200 such requests at most: this is one cluster from its beginning to its end.
func BenchmarkHistory(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		l := newLab(b, broker.Config{Brokers: 3})
		topic := l.topic(1, broker.TopicConfig{MinISR: 2})
		for i := range int32(40) {
			l.send(topic, l.seq(5*i, 5))
		}
	}
}
