package loop

import (
	"context"
	"errors"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// resolving waits until an operator's word is durable.
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

// waiting is what the choice means beyond what is in doubt, or nil.
func (l *Loop) waiting(topic string, partition int32, choice sender.Choice) *sender.Waiting {
	if s, ok := l.core.(sweeper); ok {
		return s.Waiting(topic, partition, choice)
	}
	return nil
}

// sweepFeed marks the Feeds of a sweep. The core counts its own from 1.
const sweepFeed = 1 << 63

// sweepStep is how many bytes a step reads, about: what it puts aside is in one commit.
const sweepStep = 256 << 10

var errSweeping = errors.New("resolve: records of another topic are being put aside: try again when that is done")

// Resolve carries an operator's word to the core for what is in doubt, and with dead-letter for what waits and cannot leave, and returns
// once choice and effect are durable. An error of the core changes nothing. When ctx ends, what was begun goes on.
func (l *Loop) Resolve(ctx context.Context, topic string, partition int32, choice sender.Choice) (sender.Resolved, error) {
	var resolved sender.Resolved
	var swept *sweep
	var err error
	done := make(chan struct{})
	if !l.inbox.post(func() {
		waiting := l.waiting(topic, partition, choice)
		if waiting != nil && l.sweep != nil {
			err = errSweeping
			close(done)
			return
		}
		var effects *sender.Effects
		effects, resolved, err = l.core.Resolve(l.now, topic, partition, choice)
		l.carry(effects)
		var nothing *sender.NotParkedError
		if errors.As(err, &nothing) && waiting != nil {
			err = nil
		}
		if waiting != nil && err == nil {
			swept = &sweep{what: waiting, next: waiting.From, write: l.submitted, done: done}
			l.sweep = swept
			l.nextSweep()
			return
		}
		l.resolves = append(l.resolves, resolving{l.submitted, done})
		l.checkResolves()
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

// nextSweep reads on once the step before is durable.
func (l *Loop) nextSweep() {
	s := l.sweep
	if s == nil || s.reading || l.durable < s.write {
		return
	}
	if s.next >= s.what.End {
		l.sweep = nil
		close(s.done)
		return
	}
	s.reading = true
	l.feeder.ask([]sender.Feed{{ID: sweepFeed, Lane: s.what.Lane, From: s.next, Bytes: sweepStep}})
}

// swept has the core put aside what was read.
func (l *Loop) swept(f *sender.Fed, buf []byte) {
	s := l.sweep
	s.reading = false
	s.next = max(f.Next, s.next+1)
	effects, n := l.core.(sweeper).Sweep(l.now, s.what, f.Sections, s.next >= s.what.End)
	l.feeder.give(buf)
	l.carry(effects)
	s.records += n
	s.write = l.submitted
	l.nextSweep()
}

// checkResolves tells those whose word is durable now.
func (l *Loop) checkResolves() {
	l.nextSweep()
	kept := l.resolves[:0]
	for _, r := range l.resolves {
		if l.durable < r.write {
			kept = append(kept, r)
			continue
		}
		close(r.done)
	}
	l.resolves = kept
}
