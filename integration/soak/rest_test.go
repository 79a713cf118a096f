//go:build crash

package soak

import (
	"context"
	"fmt"
	"time"

	"github.com/spoold/spoold/integration/kafka"
)

// rest ends all trouble: what piled up drains in bounded time, and a daemon that has nothing to do does nothing.
// Clients are held when it returns.
func (r *rig) rest() error {
	defer r.book.Begin(Rest)()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	if err := r.pace.Hold(ctx); err != nil {
		return err
	}
	if err := r.inSync(); err != nil {
		return err
	}
	for _, f := range r.cluster.Links() {
		if err := f.AwaitZombies(ctx); err != nil {
			return err
		}
	}
	if err := r.drain(); err != nil {
		return err
	}
	return r.idle()
}

// slowest is a rate at which a backlog drains even on a busy machine. Besides, what hung may have to time out first,
// and once more after a change of leaders.
const slowest = 1 << 20 // bytes per second

func (r *rig) patience(backlog int64) time.Duration {
	return time.Minute + 2*r.requestTimeout + time.Duration(backlog/slowest)*time.Second
}

func (r *rig) drain() error {
	began := time.Now()
	st, err := r.daemon.Status(r.ctx)
	if err != nil {
		return err
	}
	pending, bytes := st.Pending, st.SpoolBytes
	err = r.await(r.patience(bytes), fmt.Sprintf("to drain %d records, %d bytes", pending, bytes), func() (bool, error) {
		var err error
		st, err = r.daemon.Status(r.ctx)
		return err == nil && st.Pending == 0, err
	})
	if err != nil {
		return fmt.Errorf("%w: %+v", err, st)
	}
	r.figure.drained(time.Since(began), pending, bytes)
	return nil
}

// idle waits for a stretch in which nothing is written to the disk. It must come soon, and it must last. Meanwhile
// the daemon uses hardly any CPU, and holds no more descriptors than it needs.
func (r *rig) idle() error {
	stretch, soon := 2*time.Second, 15*time.Second
	if r.long {
		stretch, soon = 15*time.Second, 45*time.Second
		if r.figure.rests%3 == 2 {
			stretch = time.Minute
		}
	}
	began := time.Now()
	since := began
	last, err := r.daemon.Use()
	if err != nil {
		return err
	}
	first := last
	err = r.await(soon+stretch, fmt.Sprintf("a daemon with nothing to do that writes nothing for %v", stretch), func() (bool, error) {
		u, err := r.daemon.Use()
		if err != nil {
			return false, err
		}
		if u.Written != last.Written {
			last, since = u, time.Now()
		}
		return time.Since(since) >= stretch, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %d bytes were written", err, last.Written-first.Written)
	}
	u, err := r.daemon.Use()
	if err != nil {
		return err
	}
	_, st := r.watch.Latest()
	share := (u.CPU - last.CPU).Seconds() / time.Since(since).Seconds()
	r.figure.rested(time.Since(since), since.Sub(began), share, u.Descriptors)
	if share > busyLimit {
		return fmt.Errorf("soak: the daemon has nothing to do and uses %.0f %% of a core", 100*share)
	}
	// Standard streams, poller, lock, listeners: 16. Each segment, each client's idle connection and ours, each broker's
	// connection, one of them ending.
	if most := 16 + st.Segments + r.clients() + 2 + 2*r.cluster.Brokers() + r.onlookers.descriptors(); u.Descriptors > most {
		return fmt.Errorf("soak: at rest, %d descriptors are open, want at most %d", u.Descriptors, most)
	}
	return nil
}

// compare reads a topic back and asks the ledger.
func (r *rig) compare(t *topic) error {
	reading := t.ledger.Read()
	err := r.cluster.Scan(r.ctx, t.name, func(rec *kafka.Record) error {
		reading.Record(rec.Partition, rec.Offset, rec.Key, rec.Value)
		return nil
	})
	if err != nil {
		return err
	}
	v := reading.Verdict()
	r.note("%s: %v", t.name, v)
	r.figure.verdict(v)
	if !v.OK() {
		return fmt.Errorf("soak: %s: %v", t.name, v)
	}
	return nil
}
