package transaction

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/txn"
)

// phase is what the sender is doing.
type phase uint8

const (
	// looking: what was committed under the transactional id is read, before anything is sent.
	looking phase = iota
	// finishing: a decided transaction is ended.
	finishing
	// initialising: InitProducerId, which ends whatever a former process left open.
	initialising
	// judging: what was committed is read again, now that nothing is open.
	judging
	// searching: the progress is gone, so the transaction's own records are looked for.
	searching
	// running: transactions are begun and ended.
	running
	// describing: the coordinator is asked why it has fenced us.
	describing
	// fenced: another producer has the transactional id. Nothing is sent.
	fenced
	// parked: a transaction of a former transactional id waits for an operator.
	parked
)

var phaseNames = [...]string{"looking", "finishing", "initialising", "judging", "searching", "running", "describing", "fenced", "parked"}

// beginning is how far a start has come. It begins anew after every error that the transactional id
// does not survive.
type beginning struct {
	id       uint64 // which it is: answers to an earlier one are ignored
	asked    bool   // a request is under way
	group    int32  // coordinator of our group
	checks          // whether it is
	owner    int32  // coordinator of the transactional id
	retryAt  int64
	attempts int
	unstable int64 // Age since which offsets are unstable; 0: they are not
	deciding bool  // a decision is on its way to the disk
	held     *txn.Request
	heldAt   int64
	outcome  txn.Outcome // of the decided transaction, as EndTxn was answered
	tries    int         // of DescribeTransactions
	looks    int64       // see lookAgain
	searched int         // partitions whose log was asked about the decided transaction
	open     int         // of those, where it, or one before it, has not ended; -1: it has ended somewhere, or nobody can tell
	hanging  int         // of those, where it is open
	why      string      // its progress does not tell what became of it
	// What we had when another producer was suspected.
	identity protocol.ProducerIdentity
	openedAt int64 // Age at which the transaction of that moment was begun; 0: none was open
	lasts    int64 // its time-out, ms
	started  int64 // when the transaction that the coordinator has open instead was begun, by its clock; 0: not seen
	ending   bool  // the coordinator is asked what became of the decided transaction
	// committed is why another producer is suspected, where the decided transaction may be what the coordinator has committed; "": it is not.
	committed string
}

// restart begins the start procedure.
func (s *starter) restart() {
	s.begun = beginning{id: s.begun.id + 1, group: -1, owner: -1, checks: unchecked, deciding: s.begun.deciding, retryAt: s.begun.retryAt, attempts: s.begun.attempts}
	if c := s.sending; c != nil {
		if c.online != nil {
			s.runner.endOnline(c.online, false, s.trial.detail) // commit was never sent
		}
		s.markers.aborted(c)
	}
	if c := s.ending; c != nil && c.ordinal > 0 {
		s.runner.undecided = c.online
		s.markers.aborted(c) // if it was committed, outcome says so
	}
	for _, c := range []*cut{s.sending, s.ending} {
		if c != nil && c.healing != nil && (c == s.sending || c.ordinal > 0) {
			s.markers.looked(c.healing, false)
		}
	}
	s.m, s.phase = nil, looking
	s.sending, s.ending = nil, nil
	s.runner.again()
	s.fill = nil
}

// after has the start procedure go on after a pause.
func (s *starter) after(ms int64, detail string) {
	s.trial.say(detail)
	s.begun.retryAt = s.now.Age + ms
	s.wake(s.begun.retryAt)
}

// identity is the producer id and epoch that the coordinator gave last.
func (s *starter) identity() protocol.ProducerIdentity {
	if s.m != nil && s.m.Identity().Valid() {
		return s.m.Identity()
	}
	return s.known.Identity
}

func (s *starter) failed(detail string) {
	s.begun.attempts++
	s.after(s.backoff.After(s.begun.attempts), detail)
}

func (s *starter) machine() txn.Config {
	return txn.Config{ID: s.known.ID, TimeoutMs: int32(s.runner.timeoutMs()), RetryBackoffMs: s.cfg.RetryBackoffMs, RetryBackoffMaxMs: s.cfg.RetryBackoffMaxMs}
}

// starting does the next step.
func (s *starter) starting() {
	if s.begun.deciding || s.begun.asked || s.phase == parked {
		return
	}
	if s.now.Age < s.begun.retryAt {
		s.wake(s.begun.retryAt)
		return
	}
	if s.view.Generation() == 0 || s.version == 0 {
		return // no cluster yet
	}
	d := &s.known.Decision
	switch s.phase {
	case looking, judging:
		if s.begun.group < 0 {
			s.findCoordinator(txn.GroupID(s.known.ID), 0)
			return
		}
		if s.phase == looking || s.sureOfGroup() {
			s.askProgress()
		}
	case searching:
		evidence{s}.ask()
	case describing:
		if s.begun.owner < 0 {
			s.findCoordinator(s.known.ID, 1)
			return
		}
		s.describe()
	case finishing:
		if s.m == nil {
			s.m = txn.Resume(s.machine(), d.Identity, d.EndVersion)
		}
		if s.m.State() == txn.Ready { // else EndTxn goes on, or broken looks at what it was answered
			s.begun.outcome = s.m.Outcome()
			s.concluded()
		}
	case initialising:
		if s.m == nil {
			s.m = txn.New(s.machine())
			s.m.Finalized(s.version)
			s.m.Init()
		}
		if s.m.State() == txn.Ready {
			s.phase = judging
			s.starting()
		}
	}
}

// concluded takes what EndTxn of a decided transaction was answered. It is durable before
// InitProducerId, which erases it at the broker.
func (s *starter) concluded() {
	s.m = nil
	s.phase = initialising
	if s.begun.outcome == txn.Committed || s.begun.outcome == txn.Aborted {
		s.runner.outcome(s.begun.outcome == txn.Committed, nil)
		s.begun.deciding = true
		s.then = append(s.then, func() { s.begun.deciding = false })
		return
	}
	s.starting()
}

// broken: the machine has met an error that the transactional id does not survive as it is.
func (s *starter) broken() {
	cause, _, detail := s.m.Err()
	s.trial.say(detail)
	if s.phase == finishing && s.m.Outcome() == txn.Open {
		// A time-out or another process has moved the epoch on: the progress will tell, and the coordinator may, until the id is initialised.
		s.begun.outcome = txn.Open
		if (decidedEnd{s}).asks() {
			return
		}
		s.concluded()
		return
	}
	wasRunning, identity, openedAt, lasts := s.phase == running, s.m.Identity(), int64(0), int64(0)
	if c := cmp.Or(s.sending, s.ending); c != nil {
		openedAt, lasts = c.beganAt, c.lasts // the next one may be given another time-out already
	}
	s.restart()
	s.begun.identity, s.begun.openedAt, s.begun.lasts = identity, openedAt, lasts
	switch cause {
	case txn.Fenced:
		if wasRunning {
			s.phase = describing
			s.wake(s.now.Age + 1)
			return
		}
		s.failed(detail)
	case txn.BadTimeout:
		if s.runner.timeoutRefused() {
			s.failed(detail)
			return
		}
		s.after(max(s.cfg.RetryBackoffMaxMs, 5000), detail)
	case txn.Denied, txn.Unsupported:
		if (formerID{s}).leaving() {
			formerID{s}.abandon(detail)
			return
		}
		s.after(max(s.cfg.RetryBackoffMaxMs, 5000), detail)
	default:
		s.failed(detail)
	}
	if s.trial.tell(detail) {
		s.event(sender.TransactionTrouble{ID: s.cfg.ID, Message: detail})
	}
}

// onStart takes an answer to what the start procedure asked.
func (s *starter) onStart(q *request, resp sender.Response) {
	s.begun.asked = false
	if resp.Unsupported && s.phase == searching {
		hanging{evidence{s}}.no()
		return
	}
	if resp.Err != nil {
		s.begun.nobody()
		s.failed(cluster.ErrText(resp.Err))
		return
	}
	switch r := resp.Message.(type) {
	case *kmsg.FindCoordinatorResponse:
		code, node := coordinatorOf(r)
		if code != protocol.None {
			s.refusedAtStart("FindCoordinator", code)
			return
		}
		if s.phase == describing {
			s.begun.owner = node
		} else {
			s.begun.named(node)
		}
		s.begun.attempts = 0
	case *kmsg.OffsetFetchResponse:
		s.onProgress(r)
	case *kmsg.DescribeTransactionsResponse:
		s.described(r)
	case *kmsg.FetchResponse:
		evidence{s}.answered(r)
	case *kmsg.DescribeProducersResponse:
		hanging{evidence{s}}.answered(r)
	}
}

func (s *starter) refusedAtStart(what string, code protocol.ErrorCode) {
	detail := what + ": " + code.String()
	switch code {
	case protocol.GroupAuthorizationFailed:
		detail += ": grant READ on group " + txn.GroupID(s.known.ID)
	case protocol.TransactionalIDAuthorizationFailed:
		detail += ": grant WRITE and DESCRIBE on transactional id " + s.known.ID
	}
	if code.Class() == protocol.Authorization || code == protocol.GroupAuthorizationFailed {
		if (formerID{s}).leaving() {
			formerID{s}.abandon(detail)
			return
		}
		s.after(max(s.cfg.RetryBackoffMaxMs, 5000), detail)
		if s.trial.tell(detail) {
			s.event(sender.TransactionTrouble{ID: s.cfg.ID, Message: detail})
		}
		return
	}
	s.begun.nobody()
	s.failed(detail)
}

// onProgress takes the offsets of our group.
func (s *starter) onProgress(r *kmsg.OffsetFetchResponse) {
	code, list := progressOf(r)
	if code != protocol.None {
		s.refusedAtStart("OffsetFetch", code)
		return
	}
	s.begun.attempts = 0
	d := &s.known.Decision
	k := txn.Known{
		SpoolID: s.spoolID, TookOver: s.known.TookOver, Decided: d.Ordinal, Ended: !d.Open(),
		Key: protocol.TopicPartition{Topic: d.Key},
	}
	if s.phase == looking {
		switch v, why := txn.Early(k, list); {
		case v == txn.Foreign && (formerID{s}).leaving():
			formerID{s}.abandon(why) // whoever has the id now has ended what was open
		case v == txn.Foreign:
			s.fence(why, txn.Owner(k, list))
		case v == txn.Copy:
			s.copied(why)
		case v == txn.WasCommitted:
			s.begun.outcome = txn.Committed
			s.concluded()
		case s.begun.committed != "":
			s.committedBySomebody()
		case d.Open():
			s.phase = finishing
			s.starting()
		default:
			s.phase = initialising
			s.starting()
		}
		return
	}
	if list = s.allProgress(list); list == nil {
		return // another broker takes itself for the coordinator, too
	}
	v, why := txn.Late(k, list)
	if taken := txn.TakenOver(k, list); taken != k.TookOver && v != txn.Foreign && v != txn.Copy {
		s.known.TookOver = taken
		s.put()
	}
	if d.Open() && s.waitsForStable(list) { // else a marker was lost, and the next transaction's ends it
		return
	}
	switch {
	case v == txn.Foreign && (formerID{s}).leaving():
		s.go_() // what was open has ended
	case v == txn.Foreign:
		s.fence(why, txn.Owner(k, list))
	case v == txn.Copy:
		s.copied(why)
	case !d.Open():
		s.go_()
	case v == txn.WasCommitted, v == txn.NotCommitted:
		s.settleStart(v == txn.WasCommitted)
	case len(d.Cut) == 0 && len(d.Partitions) == 0:
		s.settleStart(false) // it carried nothing but progress
	default:
		s.search(why)
	}
}

func (s *starter) settleStart(committed bool) {
	s.runner.outcome(committed, nil)
	s.decided()
}

// decided goes on when what was decided is on disk.
func (s *starter) decided() {
	s.begun.deciding = true
	id := s.begun.id
	s.then = append(s.then, func() {
		s.begun.deciding = false
		if s.begun.id == id {
			s.go_()
		}
	})
}

// go_ ends the start procedure: transactions are begun from now on.
func (s *starter) go_() {
	if len(s.known.Parked) > 0 && (formerID{s}).is() {
		s.phase = parked // under another id, or none, nobody could ask for it any more
		return
	}
	if len(s.markers.waiting) > 0 && (formerID{s}).is() {
		s.phase, s.onlyEnd = running, true
		s.markers.start()
		return
	}
	if (formerID{s}).is() {
		formerID{s}.change()
		return
	}
	s.phase = running
	s.trial.say("")
	s.runner.again()
	s.markers.start()
	s.runner.shape.idleAt = s.now.Age
	if s.known.Identity != s.m.Identity() {
		s.known.Identity = s.m.Identity()
		t := s.known
		s.w.Transaction = &t
	}
}
