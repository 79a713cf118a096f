//go:build crash

package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/crash"
)

func TestThroughChaosToOneBrokerNothingIsLostDoubledReorderedOrChanged(t *testing.T) {
	r := newRig(t, 1, 32)
	r.library(period(t, 15*time.Second), func(left func() time.Duration) {
		r.pause(3 * time.Second)
		for ok := true; ok; ok = left() > 40*time.Second {
			r.killLeader()
			r.pause(min(left(), 10*time.Second))
		}
	})
}

func TestThroughChaosLeaderKillsAndARollingRestartNothingIsLostDoubledReorderedOrChanged(t *testing.T) {
	r := newRig(t, 3, 32)
	r.library(period(t, 20*time.Second), func(left func() time.Duration) {
		for ok := true; ok; ok = left() > 40*time.Second {
			r.pause(2 * time.Second)
			r.killLeader()
			r.pause(time.Second)
			r.roll()
			r.pause(time.Second)
			r.killLeader()
		}
	})
}

// library sends from many goroutines through the storm, while trouble is made to the brokers.
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
	r.under(d, func() { trouble(func() time.Duration { return d - time.Since(began) }) })
	close(stop)
	wg.Wait()
	select {
	case err := <-failed:
		r.t.Fatal(err)
	default:
	}
	r.drain(p)
	r.t.Logf("%d retries", p.Status().Retries)
	r.stop(p)
	r.finish()
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
		timer := time.NewTimer(between(rnd, 0, 60*time.Millisecond))
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return nil
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
		last, err = p.Send(ctx, spoold.Record{Topic: r.topic, Key: []byte(crash.Key(client)), Value: r.ledger.Value(client, n)})
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
