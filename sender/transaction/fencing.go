package transaction

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// A refusal for the epoch is also what the coordinator's own abort leaves behind, when the time of a
// transaction is over. So the coordinator is asked before another producer is suspected.

// describeTries is how often the coordinator is asked about an abort that its time-out does not explain:
// another producer that is about to take the id goes on from there.
const describeTries = 5

// lookAgain has the next look wait at what brokers have to bring about among themselves. That may take all night: it waits 1 s
// at first, and up to 10 s then.
func (s *starter) lookAgain(detail string) {
	s.begun.looks = min(s.begun.looks+1, 10)
	s.after(1000*s.begun.looks, detail)
}

func (s *starter) describe() {
	if !s.reachForStart(s.begun.owner) {
		return
	}
	s.begun.asked = true
	q := kmsg.NewPtrDescribeTransactionsRequest()
	q.TransactionalIDs = []string{s.known.ID}
	s.request(sender.Request{Kind: sender.KindControl, Broker: s.begun.owner, Message: q, MaxVersion: -1}, &request{kind: reqDescribe, begun: s.begun.id})
}

func (s *starter) described(r *kmsg.DescribeTransactionsResponse) {
	if len(r.TransactionStates) != 1 {
		s.failed("DescribeTransactions: the response does not mention the transactional id")
		return
	}
	t := &r.TransactionStates[0]
	code := protocol.ErrorCode(t.ErrorCode)
	if s.begun.ending {
		decidedEnd{s}.described(t)
		return
	}
	switch code {
	case protocol.None:
	case protocol.TransactionalIDNotFound:
		s.phase = looking
		return
	default:
		s.refusedAtStart("DescribeTransactions", code)
		return
	}
	ours := s.begun.identity
	now := protocol.ProducerIdentity{ID: protocol.ProducerID(t.ProducerID), Epoch: protocol.ProducerEpoch(t.ProducerEpoch)}
	if now.ID == ours.ID && now.Epoch < ours.Epoch {
		// A broker that is apart from the others takes itself for the coordinator still, and others may have asked it, too.
		s.lookAgain(fmt.Sprintf("broker %d is not the coordinator any more: it gives %v as producer id and epoch, and ours were %v", s.begun.owner, now, ours))
		s.begun.owner = -1
		return
	}
	switch t.State {
	case "PrepareCommit", "PrepareAbort", "PrepareEpochFence":
		s.lookAgain("the coordinator is ending a transaction")
		return
	case "Ongoing": // the fence of an abort that is not written down yet, or another producer's transaction
		if now.ID == ours.ID && now.Epoch == ours.Epoch+1 {
			if s.begun.timeOver(s.now.Age) && (s.begun.started == 0 || s.begun.started == t.StartTimestamp) {
				s.begun.started = t.StartTimestamp // the same one: too few replicas may be there to write its abort down, for hours
				s.lookAgain("the coordinator is about to abort the transaction, whose time is over")
				return
			}
			if s.begun.tries++; s.begun.tries < describeTries {
				s.lookAgain("the coordinator is about to abort the transaction")
				return
			}
		}
	case "CompleteAbort":
		if now.ID == ours.ID && now.Epoch == ours.Epoch+1 {
			if s.begun.timeOver(s.now.Age) {
				s.phase = looking // its own abort: the time was over
				return
			}
			if s.arrivedLate(ours, now, t.State) {
				return
			}
			if s.begun.tries++; s.begun.tries < describeTries {
				s.lookAgain("the coordinator has aborted the transaction before its time was over")
				return
			}
		}
	}
	if now == ours {
		s.phase = looking
		return
	}
	if s.arrivedLate(ours, now, t.State) {
		return
	}
	why := fmt.Sprintf("another producer has used the transactional id since: the coordinator has %v as producer id and epoch, ours were %v (state %s); stop that producer, then spoold txn take-over takes the id back", now, ours, t.State)
	if d := &s.known.Decision; t.State == "CompleteCommit" && now.ID == ours.ID && now.Epoch == ours.Epoch+1 && d.Open() && d.Identity == ours && d.EndVersion >= endVersion2 {
		// With version 2 an end raises the epoch. A broker that is apart from the others, and takes itself for the coordinator still, does not
		// know that the coordinator has ended it as was decided, and refuses the epoch when the time is over. The progress tells.
		s.begun.committed, s.begun.tries, s.phase = why, 0, looking
		return
	}
	s.fence(why, "")
}

// committedBySomebody: the coordinator has committed a transaction one epoch on, and our progress does not say that it was the decided one.
func (s *starter) committedBySomebody() {
	if s.begun.tries++; s.begun.tries < describeTries {
		s.lookAgain("the coordinator has committed a transaction, and its progress is not seen yet")
		return
	}
	s.fence(s.begun.committed, "")
}

// arrivedLate reports whether a request of this spool has raised the epoch, and begins anew then.
func (s *starter) arrivedLate(ours, now protocol.ProducerIdentity, state string) bool {
	if !s.late.explain(s.now.Age, ours, now, state) {
		return false
	}
	s.audit("the epoch of transactional id %s was raised from %v to %v by a request of this spool that arrived late", s.known.ID, ours, now)
	s.phase = looking
	return true
}

// endVersion2 is the first version of EndTxn in which each transaction has an epoch of its own.
const endVersion2 = 5

// decidedEnd is the starter while it asks the coordinator what became of the decided transaction.
type decidedEnd struct{ *starter }

// asks has the coordinator asked what became of the decided transaction, and reports whether it is. The answer counts where neither
// progress nor log tell: their topics may have been created anew. Under version 1 a late copy of a request may have begun another
// transaction in the same epoch, and what the coordinator says would be about that.
func (s decidedEnd) asks() bool {
	d := &s.known.Decision
	if d.EndVersion < endVersion2 || s.sawAbort == d.Ordinal {
		return false
	}
	s.m, s.phase, s.begun.ending = nil, describing, true
	s.wake(s.now.Age + 1)
	return true
}

// described takes what the coordinator says of the decided transaction. It has ended it if it is one epoch on.
func (s decidedEnd) described(t *kmsg.DescribeTransactionsResponseTransactionState) {
	d := &s.known.Decision
	code := protocol.ErrorCode(t.ErrorCode)
	ours := protocol.ProducerID(t.ProducerID) == d.Identity.ID && protocol.ProducerEpoch(t.ProducerEpoch) == d.Identity.Epoch+1
	switch {
	case code != protocol.None && code != protocol.TransactionalIDNotFound && code.Class() != protocol.Authorization:
		s.refusedAtStart("DescribeTransactions", code)
		return
	case code != protocol.None || !ours:
	case t.State == "PrepareCommit" || t.State == "PrepareAbort" || t.State == "PrepareEpochFence":
		s.lookAgain("the coordinator is ending a transaction")
		return
	case t.State == "CompleteAbort":
		s.sawAbort = d.Ordinal
	}
	s.begun.ending = false
	s.concluded()
}

// timeOver reports whether the coordinator may have aborted the transaction of that moment because it was open for too long.
func (b *beginning) timeOver(now int64) bool {
	return b.openedAt > 0 && now-b.openedAt >= b.lasts-1000
}

// fence: another producer has the transactional id. It keeps it: two that take it from each other
// would do so for ever.
func (s *starter) fence(why, by string) {
	s.m, s.phase = nil, fenced
	s.known.Fenced, s.known.FencedBy = why, by
	s.put()
	s.trial.say(why)
	s.event(sender.TransactionTrouble{ID: s.cfg.ID, Fenced: true, Message: "another producer has transactional id " + s.cfg.ID + ": " + why +
		". Nothing more is sent, records are spooled"})
}
