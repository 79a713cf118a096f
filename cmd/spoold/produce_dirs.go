package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spoold/spoold"
)

// produceDirs are the spools of one run: its own, and those beside it in which an ended
// run left something. The others are delivered first: until they are empty, the own
// producer takes records but reaches no broker.
type produceDirs struct {
	own      *spoold.Producer
	ownDir   string
	cfg      spoold.Config
	base     spoold.Status // of own, when it was opened
	others   []leftover
	gate     chan struct{} // closed when all others are delivered
	drained  chan struct{} // closed when nobody waits for the others any more
	endDrain context.CancelFunc
	refused  refusals
}

// leftover is what an ended run left in a directory beside ours.
type leftover struct {
	p    *spoold.Producer
	dir  string
	base spoold.Status
}

// maxDirs bounds how many runs on one topic may go on at once.
const maxDirs = 256

// openDirs opens the first directory that no other process has, and all later ones
// that hold records. With exact, only the directory of the configuration will do.
func openDirs(ctx context.Context, s *settings, exact bool) (*produceDirs, error) {
	d := &produceDirs{cfg: s.cfg, gate: make(chan struct{}), drained: make(chan struct{})}
	for n := 1; ; n++ {
		cfg := s.cfg
		if n > 1 {
			cfg.SpoolPath = fmt.Sprintf("%s-%d", s.cfg.SpoolPath, n)
			if _, err := os.Stat(cfg.SpoolPath); d.own != nil && errors.Is(err, os.ErrNotExist) {
				break
			}
		}
		env := spoold.Env{Hooks: spoold.Hooks{RecordDeadLettered: d.refused.hook}}
		if d.own == nil {
			env.Dial = d.gatedDial
		}
		p, err := spoold.Open(cfg, env)
		var locked *spoold.LockedError
		switch {
		case errors.As(err, &locked) && !exact && n < maxDirs:
			continue
		case err != nil:
			return nil, errors.Join(err, d.abandon())
		case d.own == nil:
			d.own, d.ownDir, d.base = p, cfg.SpoolPath, *p.Status()
		case p.Status().Pending == 0:
			if err := p.Close(ctx); err != nil {
				return nil, errors.Join(err, d.abandon())
			}
		default:
			d.others = append(d.others, leftover{p, cfg.SpoolPath, *p.Status()})
		}
		if exact || n == maxDirs {
			break
		}
	}
	ctx, d.endDrain = context.WithCancel(context.WithoutCancel(ctx))
	go d.drain(ctx)
	return d, nil
}

// drain waits until the others are delivered, and then lets the own producer reach
// its brokers.
func (d *produceDirs) drain(ctx context.Context) {
	defer close(d.drained)
	for _, o := range d.others {
		if o.p.Flush(ctx) != nil {
			return
		}
	}
	close(d.gate)
}

func plainDial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (d *produceDirs) gatedDial(ctx context.Context, network, addr string) (net.Conn, error) {
	select {
	case <-d.gate:
		return plainDial(ctx, network, addr)
	case <-ctx.Done():
		return nil, fmt.Errorf("records of an earlier run in %s go first: %w", d.where(), ctx.Err())
	}
}

// flush waits until everything in all directories is delivered.
func (d *produceDirs) flush(ctx context.Context) error {
	select {
	case <-d.drained:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, o := range d.others {
		if err := o.p.Err(); err != nil {
			return err
		}
	}
	return d.own.Flush(ctx)
}

// each calls f with the state of every directory, now and as it was at the start.
func (d *produceDirs) each(f func(now *spoold.Status, base spoold.Status)) {
	f(d.own.Status(), d.base)
	for _, o := range d.others {
		f(o.p.Status(), o.base)
	}
}

func (d *produceDirs) pending() (n uint64) {
	d.each(func(now *spoold.Status, _ spoold.Status) { n += now.Pending })
	return n
}

func (d *produceDirs) acked() (n uint64) {
	d.each(func(now *spoold.Status, base spoold.Status) { n += now.Acked - base.Acked })
	return n
}

// deadLettered counts what the cluster refused: as it is told, for the counters say it only when it
// is on disk.
func (d *produceDirs) deadLettered() (n uint64) {
	d.each(func(now *spoold.Status, base spoold.Status) { n += now.DeadLettered - base.DeadLettered })
	return max(n, d.refused.count())
}

func (d *produceDirs) recovered() uint64 {
	n := d.base.Pending
	for _, o := range d.others {
		n += o.base.Pending
	}
	return n
}

// where names the directories that hold something of this run or an earlier one.
func (d *produceDirs) where() string {
	where := d.ownDir
	for _, o := range d.others {
		where += ", " + o.dir
	}
	return where
}

func (d *produceDirs) maxRecord() int { return int(d.cfg.MaxRequestSize) }

// close ends every producer. It does not wait for the cluster: whoever wanted that has
// waited already.
func (d *produceDirs) close(ctx context.Context) error {
	d.endDrain()
	<-d.drained
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(d.own.Close(ctx), d.abandon())
}

// abandon closes the others.
func (d *produceDirs) abandon() error {
	var errs []error
	for _, o := range d.others {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		errs = append(errs, o.p.Close(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// trouble says why nothing is delivered, as far as it is known.
func (d *produceDirs) trouble() string {
	text := ""
	d.each(func(now *spoold.Status, _ spoold.Status) {
		if now.Link != "up" && now.LinkError != "" {
			text = fmt.Sprintf(" (link down: %s)", now.LinkError)
		}
		for i := range now.Topics {
			t := &now.Topics[i]
			if t.Detail != "" {
				text = fmt.Sprintf(" (topic %s is %s: %s)", t.Topic, t.State, t.Detail)
			}
			for _, p := range t.Partitions {
				if p.ParkReason != "" {
					text = fmt.Sprintf(" (%s:%d is parked: %s, %s; see spoold resolve)", t.Topic, p.Partition, p.ParkReason, p.Detail)
				}
			}
		}
	})
	return text
}

// refusals keeps how many records the cluster refused, and why it did the last.
type refusals struct {
	mu   sync.Mutex
	n    uint64
	last string
}

func (r *refusals) hook(e spoold.RecordDeadLettered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.last = e.Code.String()
	if e.Message != "" {
		r.last += ": " + e.Message
	}
}

func (r *refusals) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func (r *refusals) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == "" {
		return ""
	}
	return " (" + r.last + ")"
}
