package loop

import (
	"context"
	"errors"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// operations are an operator's decisions that are not durable yet.
type operations struct {
	core    Core
	feeder  *feeder
	now     *spool.Time // the loop's
	writes  *writes     // the loop's
	carry   func(*sender.Effects)
	waiters []resolving
	sweep   *sweep // records that an operator puts aside; nil: none
}

// resolving waits until an operator's decision is durable.
type resolving struct {
	write uint64
	done  chan struct{}
}

// sweep puts records that wait aside, step by step: a read of the spool, then a commit.
type sweep struct {
	what    *sender.Waiting
	next    spool.Index
	reading bool
	write   uint64 // of the last step
	records int
	done    chan struct{}
}

// sweeper is a Core that can put aside records that wait.
type sweeper interface {
	Waiting(topic string, partition int32, c sender.Choice) *sender.Waiting
	Sweep(now spool.Time, w *sender.Waiting, sections []spool.Section, last bool) (*sender.Effects, int)
}

// sweepFeed marks the Feeds of a sweep. The core counts its own from 1.
const sweepFeed = 1 << 63

// sweepStep is how many bytes a step reads, about: what it puts aside is in one commit.
const sweepStep = 256 << 10

var errSweeping = &sender.ResolveError{Why: "records of another topic are being put aside: try again when that is done", Again: true}

// Resolve carries an operator's decision to the core for what is in doubt, and with dead-letter for what waits and cannot leave, and returns
// once choice and effect are durable. An error of the core changes nothing. When ctx ends, what was begun goes on.
func (l *Loop) Resolve(ctx context.Context, topic string, partition int32, choice sender.Choice) (sender.Resolved, error) {
	var resolved sender.Resolved
	var swept *sweep
	var err error
	done := make(chan struct{})
	o := l.operations
	if !l.inbox.post(func() {
		waiting := o.waiting(topic, partition, choice)
		if waiting != nil && o.sweep != nil {
			err = errSweeping
			close(done)
			return
		}
		var effects *sender.Effects
		effects, resolved, err = l.core.Resolve(l.now, topic, partition, choice)
		l.carry(effects)
		var none *sender.ResolveError
		if errors.As(err, &none) && none.Nothing && waiting != nil {
			err = nil
		}
		if waiting != nil && err == nil {
			swept = o.begin(waiting, done)
			return
		}
		o.await(done)
	}) {
		return sender.Resolved{}, ErrOver
	}
	select {
	case <-done:
		if swept != nil {
			resolved.Records += swept.records
		}
		return resolved, err
	case <-ctx.Done():
		return sender.Resolved{}, context.Cause(ctx)
	case <-l.over:
		return sender.Resolved{}, ErrOver
	}
}

// await closes done once all Writes so far are durable.
func (o *operations) await(done chan struct{}) {
	o.waiters = append(o.waiters, resolving{o.writes.submitted, done})
	o.check()
}

// begin has records put aside; done is closed when they are.
func (o *operations) begin(w *sender.Waiting, done chan struct{}) *sweep {
	o.sweep = &sweep{what: w, next: w.From, write: o.writes.submitted, done: done}
	s := o.sweep
	o.nextSweep()
	return s
}

// nextSweep reads on once the step before is durable.
func (o *operations) nextSweep() {
	s := o.sweep
	if s == nil || s.reading || o.writes.durable < s.write {
		return
	}
	if s.next >= s.what.End {
		o.sweep = nil
		close(s.done)
		return
	}
	s.reading = true
	o.feeder.ask([]sender.Feed{{ID: sweepFeed, Lane: s.what.Lane, From: s.next, Bytes: sweepStep}})
}

// swept has the core put aside what was read.
func (o *operations) swept(f *sender.Fed, buf []byte) {
	s := o.sweep
	s.reading = false
	s.next = max(f.Next, s.next+1)
	effects, n := o.core.(sweeper).Sweep(*o.now, s.what, f.Sections, s.next >= s.what.End)
	o.feeder.give(buf)
	o.carry(effects)
	s.records += n
	s.write = o.writes.submitted
	o.nextSweep()
}

// check ends the operations whose Write is durable now.
func (o *operations) check() {
	o.nextSweep()
	kept := o.waiters[:0]
	for _, r := range o.waiters {
		if o.writes.durable < r.write {
			kept = append(kept, r)
			continue
		}
		close(r.done)
	}
	o.waiters = kept
}

// waiting is what the choice means beyond what is in doubt, or nil.
func (o *operations) waiting(topic string, partition int32, choice sender.Choice) *sender.Waiting {
	if s, ok := o.core.(sweeper); ok {
		return s.Waiting(topic, partition, choice)
	}
	return nil
}
