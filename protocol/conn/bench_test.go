package conn

import (
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// sinkBroker answers every request at once with the answer to a Produce of one partition.
func sinkBroker(b *testing.B) string {
	return peer(b, func(nc net.Conn) {
		if hello(nc) != nil {
			return
		}
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = 13
		resp.Topics = []kmsg.ProduceResponseTopic{{Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}
		body := append([]byte{0}, resp.AppendTo(nil)...)
		for {
			r, err := receive(nc)
			if err != nil {
				return
			}
			if _, err := nc.Write(frame(r.correlation, body)); err != nil {
				return
			}
		}
	})
}

// One op is a request of one 100 KiB batch (a thousand records of 100 bytes),
// header and CRC included, five in flight as the sender has them.
func BenchmarkProduceRoundTrip(b *testing.B) {
	c := dial(b, Options{Addr: sinkBroker(b), ClientID: "spoold"})
	const inFlight = 5
	free := make(chan *ProduceRequest, inFlight)
	for range inFlight {
		batch := make([]byte, 100<<10)
		free <- &ProduceRequest{Version: 13, TimeoutMillis: 30000,
			Encode: func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
				protocol.WriteBatchHeader(batch, protocol.BatchHeader{Identity: protocol.ProducerIdentity{ID: 1}, Count: 1000})
				return append(dst, protocol.ProducePartition{TopicID: protocol.TopicID{1}, Batch: batch}), nil
			}}
	}
	b.SetBytes(100 << 10)
	b.ReportAllocs()
	for b.Loop() {
		p := <-free
		c.Produce(p, time.Minute, func(_ kmsg.Response, _ bool, err error) {
			if err != nil {
				b.Error(err)
			}
			free <- p
		})
	}
	for range inFlight {
		<-free
	}
}

func BenchmarkMetadataRoundTrip(b *testing.B) {
	c := dial(b, Options{Addr: peer(b, func(nc net.Conn) {
		if hello(nc) != nil {
			return
		}
		for {
			r, err := receive(nc)
			if err != nil {
				return
			}
			if _, err := nc.Write(frame(r.correlation, metadataBody())); err != nil {
				return
			}
		}
	})})
	req := metadata(c)
	told := make(chan error, 1)
	done := func(_ kmsg.Response, _ bool, err error) { told <- err }
	b.ReportAllocs()
	for b.Loop() {
		c.Do(req, time.Minute, done)
		if err := <-told; err != nil {
			b.Fatal(err)
		}
	}
}
