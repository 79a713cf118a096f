package transaction

import (
	"fmt"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// Operate carries out an operator's decision about the transactional id; it is recorded.
func (s *Sender) Operate(now spool.Time, op sender.TransactionOperation) (*sender.Effects, error) {
	s.enter(now)
	err := s.operate(op)
	return s.end(), err
}

func (s *Sender) operate(op sender.TransactionOperation) error {
	d := &s.known.Decision
	switch op {
	case sender.TransactionAbort:
		switch {
		case s.ending != nil || d.Open():
			return fmt.Errorf("transaction %d was decided and is being committed: it cannot be aborted", d.Ordinal)
		case s.sending == nil:
			return fmt.Errorf("no transaction is open")
		}
		s.audit("txn abort: transaction %d of %d records", s.sending.ordinal, s.sending.records)
		s.runner.fail(s.sending, 0, "aborted by the operator")
	case sender.TransactionCommitted, sender.TransactionAborted:
		if len(s.known.Parked) > 0 {
			s.starter.resolveParked(op == sender.TransactionCommitted)
			return nil
		}
		if s.starter.phase != parked && !(d.Open() && d.Park.Parked()) { // parked now, or by an earlier process that nothing was found out after
			return fmt.Errorf("no transaction is parked: there is nothing to resolve")
		}
		committed := op == sender.TransactionCommitted
		s.audit("txn resolve: transaction %d, committed %v (%s)", d.Ordinal, committed, d.Park.Detail)
		s.runner.outcome(committed, nil)
		s.starter.begun.deciding = true
		s.then = append(s.then, func() { s.starter.begun.deciding = false })
		s.starter.restart()
	case sender.TransactionTakeOver:
		if s.starter.phase != fenced {
			return fmt.Errorf("transactional id %s is not taken by another producer", s.cfg.ID)
		}
		s.audit("txn take-over: %s", s.known.Fenced)
		s.known.TookOver = txn.Accept(s.known.TookOver, s.known.FencedBy, txn.AnySpool) // an epoch says nothing of whose it is, and there may be several
		s.known.Fenced, s.known.FencedBy = "", ""
		s.put()
		s.starter.restart()
	default:
		return fmt.Errorf("%q is not known: abort, committed, aborted or take-over", op)
	}
	return nil
}
