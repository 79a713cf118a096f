//go:build crash

package crash

import (
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/proc"
)

// anonLimit is what anonymous memory stays under at default settings, whatever the backlog.
const anonLimit = 256 << 20

// The backlog is on disk, not in memory: while the broker is away for long, after a
// kill with all of it, and while it drains.
func TestMemoryStaysBoundedWithALargeBacklogAndARestartIsQuick(t *testing.T) {
	r := newRig(t, setup{brokers: 1, clients: 8, size: 1024, records: 500, keyless: true,
		keys: map[string]string{"spool.max.bytes": "16GiB"}})
	for _, l := range r.cluster.Links() {
		l.Refuse()
	}
	r.start()
	peak := watchMemory(r)
	r.load.Run(r.ctx)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for full := false; !full; <-tick.C {
		r.must(r.daemon.Check())
		r.must(r.load.Err())
		s, err := r.daemon.Status(r.ctx)
		r.must(err)
		full = s.SpoolBytes >= *backlogMiB<<20
	}
	r.must(r.load.Stop())
	sent, _ := r.ledger.Total()
	seconds := time.Since(began).Seconds()
	t.Logf("backlog: %d records, %d MiB in %.1f s (%.0f records/s over HTTP)", sent, *backlogMiB, seconds, float64(sent)/seconds)
	peak("while the backlog grew")

	if _, err := r.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, l := range r.cluster.Links() {
		r.must(l.Heal())
	}
	r.must(r.daemon.Start())
	peak = watchMemory(r)
	r.must(r.killer.Ready(r.ctx))
	ready := r.daemon.Age()
	first := r.firstAck()
	t.Logf("restart with the backlog after SIGKILL: takes records after %.0f ms, first ack after %.0f ms",
		ready.Seconds()*1000, first.Seconds()*1000)
	if first > 10*time.Second { // the aim is 2 s; a busy machine is not a bug
		t.Errorf("start to first ack took %v", first)
	}
	began = time.Now()
	r.drain(10 * time.Minute)
	t.Logf("drained in %.1f s", time.Since(began).Seconds())
	peak("while it drained")
	s, err := r.daemon.Status(r.ctx)
	r.must(err)
	t.Logf("spool after draining: %d KiB", s.SpoolBytes>>10)
	r.must(r.daemon.Stop())
	r.compare()
}

// firstAck is the time from the daemon's start to its first ack.
func (r *rig) firstAck() time.Duration {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		s, err := r.daemon.Status(r.ctx)
		if r.must(err); s.Acked > 0 {
			return r.daemon.Age()
		}
	}
	r.t.Fatal("nothing was acked within 30 s")
	return 0
}

// watchMemory looks at the daemon's memory until the function it returns is called,
// which reports and checks.
func watchMemory(r *rig) (peak func(when string)) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var high proc.Usage
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if m, err := r.daemon.Use(); err == nil {
				high.Anon, high.File = max(high.Anon, m.Anon), max(high.File, m.File)
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func(when string) {
		close(stop)
		wg.Wait()
		r.t.Logf("peak memory %s: anonymous %d MiB, mapped files %d MiB", when, high.Anon>>20, high.File>>20)
		if high.Anon > anonLimit {
			r.t.Errorf("anonymous memory reached %d MiB %s, the limit is %d MiB", high.Anon>>20, when, int64(anonLimit)>>20)
		}
		if high.Anon == 0 {
			r.t.Errorf("memory was not seen %s", when)
		}
	}
}
