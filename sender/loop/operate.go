package loop

import (
	"context"
	"errors"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// Operate carries an operator's decision about the transactional id to the core, and returns once it is
// durable. An error of the core changes nothing.
func (l *Loop) Operate(ctx context.Context, op sender.TransactionOperation) error {
	core, ok := l.core.(interface {
		Operate(now spool.Time, op sender.TransactionOperation) (*sender.Effects, error)
	})
	if !ok {
		return errors.New("the spool has no transactional id")
	}
	var err error
	done := make(chan struct{})
	if !l.inbox.post(func() {
		var effects *sender.Effects
		effects, err = core.Operate(l.now, op)
		l.carry(effects)
		l.operations.await(done)
	}) {
		return ErrOver
	}
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.over:
		return ErrOver
	}
}
