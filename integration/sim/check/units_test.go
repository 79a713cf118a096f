package check

import "testing"

func TestAUnitIsVisibleWhollyOrNotAtAll(t *testing.T) { run(t, units) }

// unit spools a request of n records that are one unit, and gives the first.
func (s *story) unit(n int) int {
	r := s.sentMany(1, "b", n)
	s.op(r).Unit = true
	for k := range n {
		s.durable(r + k)
	}
	s.answered(r, OK)
	return r
}

// in is a transaction that was decided on before chapters begin.
func in(number int64) func(*Entry) {
	return func(e *Entry) { e.Of = &Transaction{Number: number, Commit: true, Decided: 900} }
}

// unread was deleted before the transaction that it is in had ended.
func unread(e *Entry) { e.Of, e.Unread = &Transaction{Number: 5, Commit: true, Decided: 900}, true }

// torn was decided on twice, in both ways.
func torn(e *Entry) { e.Of = &Transaction{Number: 5, Commit: true, Decided: 900, Torn: true} }

// endless is a transaction whose log was deleted with its topic before the end of it was marked there.
func endless(commit bool) func(*Entry) {
	return func(e *Entry) { e.Of = &Transaction{Number: 4, Open: true, Commit: commit, Decided: 900} }
}

func aborted(e *Entry) { e.Of = &Transaction{Number: 5, Aborted: true, Decided: 900} }

var units = []chapter{
	{"two records in one transaction", func(s *story) {
		r := s.unit(2)
		s.delivered(r, 0, in(5))
		s.delivered(r+1, 0, in(5))
	}, nil},
	{"aborted and sent again", func(s *story) {
		r := s.unit(2)
		s.appended(r, 0, aborted)
		s.appended(r+1, 0, aborted)
		s.delivered(r, 0, in(6))
		s.delivered(r+1, 0, in(6))
	}, nil},
	{"sent again when the first copy had been deleted, in the same transaction", func(s *story) {
		r := s.unit(2)
		s.appended(r, 0, unread)
		s.appended(r+1, 0, unread)
		s.delivered(r, 0, in(5))
		s.delivered(r+1, 0, in(5))
	}, nil},
	{"deleted before its transaction had ended, and sent once", func(s *story) {
		s.delivered(s.unit(1), 0, unread)
	}, nil},
	{"aborted behind its topic's end, sent again, and deleted before that transaction had ended", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, endless(false))
		s.log("b", 0).Deleted = true
		s.delivered(r, 0, unread)
	}, nil},
	{"delivered to a topic that was deleted, sent again, and deleted before that transaction had ended", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, in(4))
		s.log("b", 0).Deleted = true
		s.delivered(r, 0, unread)
	}, nil},
	{"committed behind its topic's end", func(s *story) {
		s.delivered(s.unit(1), 0, endless(true))
		s.log("b", 0).Deleted = true
	}, nil},
	{"committed, ended with abort by another one, and gone with its topic", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, aborted, func(e *Entry) { e.Of.Commit = true })
		s.log("b", 0).Deleted = true
		s.settled(r, OutcomeAcked)
	}, nil},
	{"committed, and ended with abort by another one, in a topic that is there", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, aborted, func(e *Entry) { e.Of.Commit = true })
		s.settled(r, OutcomeAcked)
	}, []string{"P1: record 8 (host 1, topic b) was settled as acked and is in no log but in b-0 at 1, in transaction 5, which was aborted"}},
	{"settled, and aborted behind its topic's end", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, endless(false))
		s.log("b", 0).Deleted = true
		s.settled(r, OutcomeAcked)
	}, []string{"P1: record 8 (host 1, topic b) was settled as acked and is in no log but in b-0 at 1, in transaction 4, which was aborted"}},
	{"settled, deleted before its transaction had ended, and aborted", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, unread, func(e *Entry) { e.Of.Open, e.Of.Commit = true, false })
		s.settled(r, OutcomeAcked)
	}, []string{"P1: record 8 (host 1, topic b) was settled as acked and is in no log but in b-0 at 1, in transaction 5, which was aborted"}},
	{"told to be where it was aborted behind its topic's end", func(s *story) {
		r := s.unit(1)
		s.acked(r, 0, s.appended(r, 0, endless(false)))
		s.log("b", 0).Deleted = true
		s.delivered(r, 0, in(6))
	}, []string{"P6: record 8 (host 1, topic b) was told to be acked on partition 0 at 1, and is not there"}},
	{"aborted and dead-lettered", func(s *story) {
		r := s.unit(2)
		s.appended(r, 0, aborted)
		s.dead(r)
		s.dead(r + 1)
	}, nil},
	{"settled, and its transaction was aborted", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, aborted)
		s.settled(r, OutcomeAcked)
	}, []string{"P1: record 8 (host 1, topic b) was settled as acked and is in no log but in b-0 at 1, in transaction 5, which was aborted"}},
	{"divided between two transactions", func(s *story) {
		r := s.unit(2)
		s.delivered(r, 0, in(5))
		s.delivered(r+1, 0, in(6))
	}, []string{"P4: request 8 was divided: record 9 (host 1, topic b) is in transaction 6, what came before in 5"}},
	{"one record visible, the other dead-lettered", func(s *story) {
		r := s.unit(2)
		s.delivered(r, 0, in(5))
		s.dead(r + 1)
	}, []string{"P4: request 8 was divided: record 8 (host 1, topic b) is visible, record 9 (host 1, topic b) is not"}},
	{"divided by the cluster", func(s *story) {
		r := s.unit(2)
		s.delivered(r, 0, torn)
		s.appended(r+1, 0, torn, func(e *Entry) { e.Of.Aborted = true })
		s.pending(r + 1)
		s.h.Hosted[1].Stopped = true // no choice is right
	}, nil},
	{"one record where the coordinator had forgotten the transaction", func(s *story) {
		r := s.unit(2)
		s.delivered(r, 0, in(5))
		s.delivered(r+1, 0, func(e *Entry) { e.Of = &Transaction{Number: 4, Decided: -1} })
	}, nil},
	{"aborted where the coordinator had forgotten the transaction", func(s *story) {
		r := s.unit(2)
		s.delivered(r, 0, in(5))
		s.appended(r+1, 0, func(e *Entry) { e.Of = &Transaction{Number: 4, Decided: -1, Aborted: true} })
		s.pending(r + 1)
		s.h.Hosted[1].Stopped = true
	}, []string{"P4: request 8 was divided: record 8 (host 1, topic b) is visible, record 9 (host 1, topic b) is not"}},
	{"divided by the cluster, and sent again", func(s *story) {
		r := s.unit(2)
		s.appended(r, 0, torn)
		s.appended(r+1, 0, torn, func(e *Entry) { e.Of.Aborted = true })
		s.delivered(r, 0, in(6))
		s.delivered(r+1, 0, in(6))
	}, nil},
	{"divided by the cluster behind a record that was not in it, and sent again", func(s *story) {
		r := s.unit(3)
		s.appended(r, 0, torn)
		s.delivered(r, 0, in(6))
		s.delivered(r+1, 0, in(6))
		s.appended(r+2, 0, torn, func(e *Entry) { e.Of.Aborted = true })
		s.delivered(r+2, 0, in(6))
	}, nil},
	{"outside of any transaction", func(s *story) {
		s.delivered(s.unit(1), 0)
	}, []string{"P4: record 8 (host 1, topic b) is in a unit, and in no transaction"}},
	{"in a transaction that does not end", func(s *story) {
		s.delivered(s.unit(1), 0, func(e *Entry) { e.Of = &Transaction{Number: 5, Open: true, Decided: -1} })
	}, []string{"P4: record 8 (host 1, topic b): its transaction has not ended"}},
	{"a transaction that nobody ends, without a record", func(s *story) {
		s.h.Open = []string{"a-1 from 7"}
	}, []string{"P4: a transaction is open long after the last fault: a-1 from 7"}},
	{"settled before the decision", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, func(e *Entry) { e.Of = &Transaction{Number: 5, Commit: true, Decided: 1500} })
		s.settled(r, OutcomeAcked)
	}, []string{"P4: record 8 (host 1, topic b) was settled at 1003 ms, and the decision on its transaction 5 fell at 1500"}},
	{"told as delivered before the decision", func(s *story) {
		r := s.unit(1)
		at := s.appended(r, 0, func(e *Entry) { e.Of = &Transaction{Number: 5, Commit: true, Decided: 1005} })
		s.acked(r, 0, at)
		s.at = 1005
		s.settled(r, OutcomeAcked)
	}, []string{"P4: record 8 (host 1, topic b) was told to be delivered at 1003 ms, and the decision on its transaction 5 fell at 1005"}},
	{"settled, and what was decided is an abort", func(s *story) {
		r := s.unit(1)
		s.appended(r, 0, func(e *Entry) { e.Of = &Transaction{Number: 5, Decided: 900} })
		s.settled(r, OutcomeAcked)
	}, []string{"P4: record 8 (host 1, topic b) was settled at 1003 ms, and the decision on its transaction 5 fell at 900"}},
}
