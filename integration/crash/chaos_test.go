//go:build crash

package crash

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/chaos"
)

// impatient makes a daemon feel faults often: small batches, short waits.
var impatient = map[string]string{
	"metadata.max.age.ms": "3000", "request.timeout.ms": "4000", "batch.size": "4KiB", "linger.ms": "2",
	"retry.backoff.ms": "50", "retry.backoff.max.ms": "500",
}

func TestDaemonKilledWhileItsRequestsAreBrokenOneByOneOnTheWayToOneBroker(t *testing.T) {
	r := newRig(t, setup{brokers: 1, think: 40 * time.Millisecond, records: 4, keys: impatient})
	r.inChaos(func() {
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

func TestDaemonKilledWhileItsRequestsAreBrokenOneByOneAndThreeBrokersAreRestartedInTurn(t *testing.T) {
	r := newRig(t, setup{brokers: 3, think: 40 * time.Millisecond, records: 4, keys: impatient})
	r.inChaos(func() {
		r.wait(r.between(0, time.Second))
		r.kill()
		r.must(r.cluster.Roll(r.ctx, func() error {
			r.wait(r.between(300*time.Millisecond, 900*time.Millisecond))
			r.kill()
			return nil
		}, r.topic))
	})
}

// inChaos runs f while proxies break requests and answers, and the load goes on. After it has been compared, the
// last requests of all former connections arrive once more, which must change nothing.
func (r *rig) inChaos(f func()) {
	r.t.Helper()
	var proxies []*chaos.Proxy
	for i := range r.cluster.Brokers() {
		p := r.cluster.Front(i).(*chaos.Front).Proxy
		p.Begin(r.seed, chaos.Mix{}, nil)
		proxies = append(proxies, p)
		r.t.Cleanup(p.Heal)
	}
	r.start()
	r.load.Run(r.ctx)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { chaos.Storm(stop, rand.New(rand.NewPCG(r.seed, 2)), proxies...) })
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end() // also when f fails the test
	f()
	end()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	var faults chaos.Counts
	for _, p := range proxies {
		p.Heal()
		r.must(p.AwaitZombies(ctx))
		faults.Add(p.Counts())
	}
	r.broken.Add(faults)
	r.finish()
	r.t.Logf("%v; %v", r.killer, faults)
	if faults.Total() == 0 {
		r.t.Error("no request was broken: this run proves nothing")
	}
	answers := make(map[string]int)
	for _, p := range proxies {
		p.Cut()
		again, err := p.ReplayAll(ctx)
		r.must(err)
		for k, n := range again {
			answers[k] += n
		}
	}
	r.t.Logf("former requests once more were answered %v", answers)
	r.compare()
}
