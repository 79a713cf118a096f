package spoold

import (
	"context"

	"github.com/spoold/spoold/sender"
)

// TransactionOperation is an operator's decision about the transactional id.
type TransactionOperation string

// Operations of OperateTransaction.
const (
	// AbortTransaction aborts the open transaction; its records are sent again. One that was decided on is refused.
	AbortTransaction TransactionOperation = "abort"
	// TransactionWasCommitted and TransactionWasAborted say what became of a parked transaction: its records
	// are counted as committed, or sent again.
	TransactionWasCommitted TransactionOperation = "committed"
	TransactionWasAborted   TransactionOperation = "aborted"
	// TakeOverTransaction takes the id back from the producer that has fenced this one, which is fenced then.
	TakeOverTransaction TransactionOperation = "take-over"
)

// OperateTransaction carries out an operator's decision about the transactional id. It is recorded in the spool.
// An error says that it does not fit: nothing was changed.
func (p *Producer) OperateTransaction(ctx context.Context, op TransactionOperation) error {
	e, err := p.current()
	if err != nil {
		return err
	}
	return public(e.loop.Operate(ctx, sender.TransactionOperation(op)))
}
