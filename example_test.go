package spoold_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// brokers starts an embedded broker, as a stand-in for a cluster of yours.
func brokers() ([]string, func()) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "audit"))
	if err != nil {
		log.Fatal(err)
	}
	return c.ListenAddrs(), c.Close
}

func exampleConfig(servers []string) (spoold.Config, func()) {
	dir, err := os.MkdirTemp("", "spoold-example-")
	if err != nil {
		log.Fatal(err)
	}
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers = servers
	cfg.SpoolPath = dir
	cfg.SpoolMinFreeBytes = 0
	return cfg, func() { os.RemoveAll(dir) }
}

func Example() {
	servers, stop := brokers()
	defer stop()
	cfg, remove := exampleConfig(servers)
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := p.Send(ctx, spoold.Record{Topic: "audit", Key: []byte("user 7"), Value: []byte("logged in")})
	if err != nil {
		log.Fatal(err)
	}
	if err := d.Spooled(ctx); err == nil {
		fmt.Println("on disk here")
	}
	if ack, err := d.Acked(ctx); err == nil {
		fmt.Printf("on the cluster at partition %d, offset %d\n", ack.Partition, ack.Offset)
	}
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// on disk here
	// on the cluster at partition 0, offset 0
}

// A batch with a key can be sent again after an answer that did not come: it is
// spooled once.
func ExampleProducer_SendBatch() {
	servers, stop := brokers()
	defer stop()
	cfg, remove := exampleConfig(servers)
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	batch := spoold.Batch{
		Key:     "order 4711",
		Records: []spoold.Record{{Topic: "audit", Value: []byte("paid")}, {Topic: "audit", Value: []byte("shipped")}},
	}
	for range 2 {
		d, err := p.SendBatch(ctx, batch)
		if err != nil {
			log.Fatal(err)
		}
		acks, err := d.Acked(ctx)
		fmt.Println(acks[0].Offset, acks[1].Offset, d.Duplicate(), err)
	}
	// Output:
	// 0 1 false <nil>
	// 0 1 true <nil>
}

func ExampleProducer_SendFunc() {
	servers, stop := brokers()
	defer stop()
	cfg, remove := exampleConfig(servers)
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	told := make(chan struct{})
	err = p.SendFunc(ctx, spoold.Record{Topic: "audit", Value: []byte("hello")}, func(a spoold.Ack, err error) {
		fmt.Println("offset", a.Offset, err)
		close(told)
	})
	if err != nil {
		log.Fatal(err)
	}
	<-told
	// Output: offset 0 <nil>
}

// Keys and values of the program's own types, and a header on every record.
func ExampleTypedProducer() {
	servers, stop := brokers()
	defer stop()
	cfg, remove := exampleConfig(servers)
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	p, err := spoold.Open(cfg, spoold.Env{Interceptors: []spoold.Interceptor{stamp{}}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	type payment struct{ Cents int }
	payments := spoold.NewTypedProducer(p, spoold.String(), spoold.JSON[payment]())
	d, err := payments.Send(ctx, spoold.TypedRecord[string, payment]{Topic: "audit", Key: "anna", Value: payment{250}})
	if err != nil {
		log.Fatal(err)
	}
	ack, err := d.Acked(ctx)
	fmt.Println("offset", ack.Offset, err)
	// Output: offset 0 <nil>
}

// stamp adds a header to every record.
type stamp struct{}

func (stamp) OnSend(_ context.Context, r spoold.Record) (spoold.Record, error) {
	r.Headers = append(r.Headers, spoold.Header{Key: "host", Value: []byte("edge-7")})
	return r, nil
}

func (stamp) OnAcknowledgement(spoold.Acknowledgement) {}

func (stamp) Close() error { return nil }
