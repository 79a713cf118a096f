package loop

import (
	"context"

	"github.com/spoold/spoold/sender"
)

// resolving waits until an operator's word is durable.
type resolving struct {
	write uint64
	done  chan struct{}
}

// Resolve carries an operator's word for what is in doubt to the core, and returns
// once choice and effect are durable. An error of the core changes nothing.
func (l *Loop) Resolve(ctx context.Context, topic string, partition int32, choice sender.Choice) (sender.Resolved, error) {
	var resolved sender.Resolved
	var err error
	done := make(chan struct{})
	if !l.inbox.post(func() {
		var effects *sender.Effects
		effects, resolved, err = l.core.Resolve(l.now, topic, partition, choice)
		l.carry(effects)
		l.resolves = append(l.resolves, resolving{l.submitted, done})
		l.checkResolves()
	}) {
		return sender.Resolved{}, ErrOver
	}
	select {
	case <-done:
		return resolved, err
	case <-ctx.Done():
		return sender.Resolved{}, context.Cause(ctx)
	case <-l.over:
		return sender.Resolved{}, ErrOver
	}
}

// checkResolves tells those whose word is durable now.
func (l *Loop) checkResolves() {
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
