//go:build crash

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

func TestLibraryThroughBrokenRequestsToOneBroker(t *testing.T) {
	r := newRig(t, setup{brokers: 1, clients: 32, keys: impatient})
	r.library(*storm, func(left func() time.Duration) {
		r.wait(3 * time.Second)
		for ok := true; ok; ok = left() > 40*time.Second {
			r.failOver(r.rand.Int32N(partitions))
			r.wait(min(left(), 10*time.Second))
		}
	})
}

func TestLibraryThroughBrokenRequestsLeaderKillsAndARoll(t *testing.T) {
	r := newRig(t, setup{brokers: 3, clients: 32, keys: impatient})
	r.library(*storm, func(left func() time.Duration) {
		for ok := true; ok; ok = left() > 40*time.Second {
			r.wait(2 * time.Second)
			r.failOver(r.rand.Int32N(partitions))
			r.wait(time.Second)
			r.roll()
			r.wait(time.Second)
			r.failOver(r.rand.Int32N(partitions))
		}
	})
}

// library sends from many goroutines of this process through the storm, while trouble is made to the brokers.
func (r *rig) library(d time.Duration, trouble func(left func() time.Duration)) {
	r.t.Helper()
	p := r.open(r.t.TempDir())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	failed := make(chan error, r.ledger.Clients())
	for c := range r.ledger.Clients() {
		wg.Go(func() {
			if err := r.client(p, c, stop); err != nil {
				failed <- err
			}
		})
	}
	began := time.Now()
	r.storm(func() {
		trouble(func() time.Duration { return d - time.Since(began) })
		r.wait(d - time.Since(began))
	})
	close(stop)
	wg.Wait()
	select {
	case err := <-failed:
		r.t.Fatal(err)
	default:
	}
	r.last(p)
}

// client sends bursts of records of one key, and waits for the disk after each.
func (r *rig) client(p *spoold.Producer, client int, stop <-chan struct{}) error {
	rnd := rand.New(rand.NewPCG(r.seed, 1000+uint64(client)))
	for n := 0; ; {
		next, err := r.burst(p, client, n, 1+rnd.IntN(12))
		if err != nil {
			return err
		}
		n = next
		r.ledger.Answered(client, n)
		pause(r.ctx, stop, time.Duration(rnd.Int64N(int64(60*time.Millisecond))))
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// burst sends so many records from n on and waits until they are spooled. What the cluster does must
// not delay that: a minute is for a disk that others use as well.
func (r *rig) burst(p *spoold.Producer, client, n, count int) (next int, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	var last spoold.Delivery
	for range count {
		last, err = p.Send(ctx, spoold.Record{Topic: r.topic, Key: []byte(Key(client)), Value: r.ledger.Value(client, n)})
		if err != nil {
			return n, fmt.Errorf("client %d record %d: %w", client, n, err)
		}
		n++
	}
	if err := last.Spooled(ctx); err != nil {
		return n, fmt.Errorf("client %d record %d is not spooled: %w", client, n-1, err)
	}
	return n, nil
}

// open opens the library on a spool.
func (r *rig) open(dir string) *spoold.Producer {
	r.t.Helper()
	cfg := spoold.DefaultConfig()
	r.must(cfg.Set("bootstrap.servers", r.cluster.Bootstrap()))
	r.must(cfg.Set("spool.path", dir))
	for k, v := range r.keys {
		r.must(cfg.Set(k, v))
	}
	p, err := spoold.Open(cfg, spoold.Env{Hooks: r.trace.hooks()})
	r.must(err)
	return p
}

// last delivers what is left, closes the producer, and compares what it counted and what is in the topic.
func (r *rig) last(p *spoold.Producer) {
	r.t.Helper()
	r.await(2*time.Minute, func() (done bool, still any) {
		s := p.Status()
		if s.State != "running" {
			r.t.Fatalf("the producer %s: %s", s.State, s.Error)
		}
		return s.Pending == 0, s
	})
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	r.must(p.Close(ctx))
	s := p.Status()
	sent, maybe := r.ledger.Total()
	if s.Accepted < uint64(sent-maybe) || s.Accepted > uint64(sent) || s.Acked != s.Accepted || s.DeadLettered != 0 || s.Expired != 0 {
		r.t.Errorf("status says accepted %d, acked %d, dead-lettered %d, expired %d; %d were sent, %d of them never answered",
			s.Accepted, s.Acked, s.DeadLettered, s.Expired, sent, maybe)
	}
	r.t.Logf("%d records, %d of them never answered and not sent again; %v; %v", sent, maybe, r.trace.counts, r.broken)
	if again, most := r.trace.again(), 1000+100*(r.broken.Total()+r.brokersKilled); again > most {
		r.t.Errorf("%d batches were sent again after %d faults: that is a busy loop (at most %d would do)", again, r.broken.Total(), most)
	}
	r.compare()
	r.replay()
}
