package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/crash"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal("libprog: ", err)
	}
}

type program struct {
	producer *spoold.Producer
	topic    string
	seed     uint64
	size     int
	out      sync.Mutex
}

func run(args []string) error {
	if len(args) < 6 {
		return errors.New("bootstrap servers, spool, topic, seed, size, and a number per client")
	}
	cfg := spoold.DefaultConfig()
	for _, pair := range strings.Fields(os.Getenv("LIBPROG_SET")) {
		key, value, _ := strings.Cut(pair, "=")
		if err := cfg.Set(key, value); err != nil {
			return err
		}
	}
	if err := errors.Join(cfg.Set("bootstrap.servers", args[0]), cfg.Set("spool.path", args[1])); err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[3], 10, 64)
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	p := &program{topic: args[2], seed: seed, size: size}
	if p.producer, err = spoold.Open(cfg, spoold.Env{Hooks: spoold.Hooks{
		Recovery: p.recovered, BatchAcked: p.acked, PartitionParked: p.parked}}); err != nil {
		return err
	}
	failed := make(chan error)
	for client, text := range args[5:] {
		next, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		go func() { failed <- p.client(client, next) }()
	}
	return <-failed // until it is killed
}

func (p *program) recovered(e spoold.Recovery) { p.print("recovery %d\n", e.Seals) }

// acked tells of batches whose fate was learnt otherwise than by their own answer.
func (p *program) acked(e spoold.BatchAcked) {
	if e.How != "answer" {
		p.print("%s 1\n", e.How)
	}
}

func (p *program) parked(e spoold.PartitionParked) {
	log.Printf("libprog: parked %s-%d: %s: %s", e.Topic, e.Partition, e.Reason, e.Detail)
}

func (p *program) print(format string, args ...any) {
	p.out.Lock()
	defer p.out.Unlock()
	if _, err := fmt.Fprintf(os.Stdout, format, args...); err != nil {
		log.Fatal("libprog: ", err) // whoever listens is gone
	}
}

// client sends records from next on, one after the other.
func (p *program) client(client, next int) error {
	ctx := context.Background()
	for ; ; next++ {
		r := spoold.Record{Topic: p.topic, Key: []byte(crash.Key(client)), Value: crash.Value(p.seed, client, next, p.size)}
		if err := p.send(ctx, r, client, next); err != nil {
			return fmt.Errorf("client %d record %d: %w", client, next, err)
		}
		p.print("%d %d\n", client, next+1)
	}
}

// send returns when the record is spooled. Keyless clients use Send: a record that was
// under way when the program died is there or not, and nobody sends it again. The
// others use a key, so that they can.
func (p *program) send(ctx context.Context, r spoold.Record, client, n int) error {
	if crash.Keyless(client) {
		d, err := p.producer.Send(ctx, r)
		if err != nil {
			return err
		}
		return d.Spooled(ctx)
	}
	d, err := p.producer.SendBatch(ctx, spoold.Batch{Records: []spoold.Record{r}, Key: fmt.Sprintf("%d/%d", client, n)})
	if err != nil {
		return err
	}
	if n%64 == 0 { // now and then, wait for the cluster as well
		if _, err := d.Acked(ctx); err != nil {
			return err
		}
	}
	return d.Spooled(ctx)
}
