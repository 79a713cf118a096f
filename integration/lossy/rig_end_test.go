//go:build crash

package lossy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/powercut"
)

// finish ends the load, drains, and compares.
func (r *rig) finish() error {
	if err := errors.Join(r.sever(false), r.quiet()); err != nil {
		return err
	}
	s, err := r.drain()
	if err != nil {
		return err
	}
	if err := r.daemon.Stop(); err != nil {
		return violation{err}
	}
	if _, err := r.daemon.Wait(r.ctx); err != nil {
		return err
	}
	if found := r.daemon.Found(); found != nil && found.Seals > 0 {
		r.tally["start with batches in doubt"]++
	}
	return errors.Join(r.check(), r.numbers(s), r.compare())
}

// quiet ends the load: each client gets its last answer.
func (r *rig) quiet() error {
	stopped := make(chan error, 1)
	go func() { stopped <- r.load.Stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			return violation{err}
		}
		return nil
	case <-r.daemon.Ended():
		return r.gone("while clients wait for answers")
	case <-time.After(r.patience):
		return violated("clients wait for an answer for %v\n%s", r.patience, r.daemon.Tail())
	}
}

// drain waits until nothing is pending.
func (r *rig) drain() (*crash.Status, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(r.patience); ; <-tick.C {
		s, err := r.daemon.Status(r.ctx)
		if err != nil {
			select { // it may be about to end
			case <-r.daemon.Ended():
				return nil, r.gone("while it drained")
			case <-time.After(r.patience):
				return nil, violation{err}
			}
		}
		if s.Pending == 0 {
			return s, nil
		}
		if time.Now().After(deadline) {
			return nil, violated("still pending %v after the load ended: %+v", r.patience, s)
		}
	}
}

// numbers compares the daemon's with the ledger's.
func (r *rig) numbers(s *crash.Status) error {
	sent, _ := r.ledger.Total()
	if s.Accepted != uint64(sent) || s.Acked != uint64(sent) || s.DeadLettered != 0 || s.Expired != 0 {
		return violated("status says accepted %d, acked %d, dead-lettered %d, expired %d; the clients were told of %d",
			s.Accepted, s.Acked, s.DeadLettered, s.Expired, sent)
	}
	return nil
}

// compare reads the topic back and asks the ledger.
func (r *rig) compare() error {
	reading := r.ledger.Read()
	err := r.cluster.Scan(r.ctx, r.topic, func(rec *kafka.Record) error {
		reading.Record(rec.Partition, rec.Offset, rec.Key, rec.Value)
		return nil
	})
	if err != nil {
		return err
	}
	if v := reading.Verdict(); !v.OK() {
		return violated("%v", v)
	}
	return nil
}

// keep copies what is on the disk to a place that outlives the test.
func (r *rig) keep(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "spoold-power-")
	if err == nil {
		err = r.disk.Dump(dir)
	}
	t.Logf("the disk, as the last power cut left it and as it is now: %s (%v)", dir, err)
}

// lines is a tally for people.
func lines(tally powercut.Tally) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(tally)) {
		fmt.Fprintf(&b, "\n%9d  %s", tally[k], k)
	}
	return b.String()
}
