package transaction

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// A decided transaction of which nobody can tell the outcome is parked: its topics wait for an operator, with what lies behind
// its records there, and with the units that have records in them. Everything else goes on.

// park has the decided transaction wait for an operator. Transactions go on once that is durable.
func (s *starter) park(why string) {
	s.parkDecision(s.known.Decision, why)
	s.known.Decision.Outcome, s.known.Decision.Park = spool.OutcomeParked, spool.Park{}
	s.known.Decision.Cut, s.known.Decision.Partitions = nil, nil
	s.put()
	s.decided()
}

// parkDecision has a transaction wait for an operator.
func (s *starter) parkDecision(d spool.Decision, why string) {
	d.Outcome = spool.OutcomeParked
	d.Park = spool.Park{Reason: spool.ParkOutcomeUnknown, Detail: why, At: s.now.Wall}
	s.known.Parked = append(slices.Clone(s.known.Parked), d)
	s.hold()
	s.trial.say(why)
	s.event(sender.TransactionTrouble{ID: s.cfg.ID, Message: fmt.Sprintf("nobody can tell whether transaction %d was committed: %s: look at its topics, then spoold txn resolve --committed or --aborted", d.Ordinal, why)})
}

// hold has the lanes of parked transactions wait.
func (s *starter) hold() {
	for _, l := range s.lanes {
		l.held, l.heldWhy = 0, ""
	}
	for i := range s.known.Parked {
		d := &s.known.Parked[i]
		for _, r := range d.Cut {
			l := s.lanes[r.Lane]
			l.held = max(l.held, r.End)
			if l.heldWhy == "" {
				l.heldWhy = fmt.Sprintf("transaction %d is parked: %s: spoold txn resolve --committed or --aborted", d.Ordinal, d.Park.Detail)
			}
		}
	}
}

// resolveParked takes an operator's word about the oldest parked transaction.
func (s *starter) resolveParked(committed bool) {
	d := s.known.Parked[0]
	s.known.Parked = slices.Clone(s.known.Parked[1:])
	s.audit("txn resolve: transaction %d, committed %v (%s)", d.Ordinal, committed, d.Park.Detail)
	records := 0
	if committed {
		for _, r := range d.Cut {
			records += r.Len() - s.lanes[r.Lane].settled.CountIn(r.Span)
		}
		s.known.Committed += uint64(records)
		s.runner.deliver(&d, nil)
		for _, r := range d.Cut {
			s.runner.leave(s.lanes[r.Lane], r.Span, spool.OutcomeAcked)
		}
	}
	s.event(sender.TransactionEnded{ID: s.cfg.ID, Ordinal: d.Ordinal, Committed: committed, Records: records, Partitions: len(d.Partitions), Recovered: true})
	if o := s.runner.undecided; o != nil && len(s.known.Parked) == 0 {
		s.runner.endOnline(o, committed, "the operator says that it was aborted")
		s.runner.undecided = nil
	}
	s.put()
	s.hold()
	s.reader.release(noTopic)
	if s.phase == parked {
		s.restart()
	}
}
