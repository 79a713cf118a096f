//go:build crash

package crash

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/link"
)

// impatient makes a producer feel faults often: small batches, short waits.
var impatient = map[string]string{
	"metadata.max.age.ms": "3000", "request.timeout.ms": "4000", "batch.size": "4KiB", "linger.ms": "2",
	"retry.backoff.ms": "50", "retry.backoff.max.ms": "500", "spool.min.free.bytes": "1MiB",
}

func TestDaemonKilledWhileItsRequestsToOneBrokerAreBroken(t *testing.T) {
	r := newRig(t, setup{brokers: 1, think: 40 * time.Millisecond, records: 4, keys: impatient})
	r.daemonInStorm(func() {
		for range 7 {
			r.wait(r.between(100*time.Millisecond, 1200*time.Millisecond))
			r.kill()
		}
		r.killBroker(0)
		r.kill()
		r.wait(r.between(0, 2*time.Second))
		r.must(r.cluster.Start(r.ctx, 0))
		r.wait(time.Second)
		r.kill()
	})
}

func TestDaemonKilledWhileItsRequestsAreBrokenAndBrokersRestart(t *testing.T) {
	r := newRig(t, setup{brokers: 3, think: 40 * time.Millisecond, records: 4, keys: impatient})
	r.daemonInStorm(func() {
		r.wait(r.between(0, time.Second))
		r.kill()
		r.must(r.cluster.Roll(r.ctx, func() error {
			r.wait(r.between(300*time.Millisecond, 900*time.Millisecond))
			r.kill()
			return nil
		}, r.topic))
	})
}

func (r *rig) daemonInStorm(f func()) {
	r.t.Helper()
	r.start()
	r.load.Run(r.ctx)
	r.storm(f)
	r.finish()
	r.t.Logf("%v; %v", r.killer, r.broken)
	r.replay()
}

// storm runs f while links break requests and answers one by one. Then they heal, and every zombie arrives.
func (r *rig) storm(f func()) {
	r.t.Helper()
	links := r.cluster.Links()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { link.Storm(stop, rand.New(rand.NewPCG(r.seed, 2)), links...) })
	end := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
		for _, l := range links {
			r.must(l.Heal())
		}
	})
	defer end() // also when f fails the test
	f()
	end()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	for _, l := range links {
		r.must(l.AwaitZombies(ctx))
		r.broken.Add(l.Counts())
		r.t.Logf("zombies were answered %v", l.ZombieAnswers())
	}
	if r.broken.Total() == 0 {
		r.t.Error("no request was broken: this run proves nothing")
	}
}

// replay lets the last requests of all former connections arrive once more, after the topic was compared. It must change nothing.
func (r *rig) replay() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Minute) // a broker on a busy machine answers late, and there may be hundreds of requests
	defer cancel()
	answers := make(map[string]int)
	for _, l := range r.cluster.Links() {
		l.Cut()
		again, err := l.ReplayAll(ctx)
		r.must(err)
		for k, n := range again {
			answers[k] += n
		}
	}
	r.t.Logf("former requests once more were answered %v", answers)
	before := r.verdict.Records
	if after := r.compare(); after.Records != before {
		r.t.Errorf("the replay of former requests added %d records", after.Records-before)
	}
}
