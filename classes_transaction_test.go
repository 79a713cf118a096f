package spoold_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/protocol"
)

// Under a transactional id each class of errors has one end, too: see the table in ARCHITECTURE.md.
func TestEachClassOfErrorsHasOneEndInATransaction(t *testing.T) {
	t.Parallel()
	const committed, deadLettered, waits, fenced = "committed", "dead-lettered", "waits", "fenced"
	eachClass(t, []classCase{
		{protocol.Retriable, protocol.NotEnoughReplicas, 2, committed},
		{protocol.Retriable, protocol.ConcurrentTransactions, 2, committed},
		{protocol.RefreshRetriable, protocol.NotLeaderOrFollower, 2, committed},
		{protocol.RefreshRetriable, unanswered, 1, committed},
		{protocol.OutOfOrder, protocol.OutOfOrderSequenceNumber, 1, committed},
		{protocol.OutOfOrder, protocol.UnknownProducerID, 1, committed},
		{protocol.Abortable, protocol.InvalidTxnState, 1, committed},
		{protocol.Abortable, protocol.TransactionAbortable, 1, committed},
		{protocol.ApplicationRecoverable, protocol.InvalidProducerIDMapping, 1, committed},
		{protocol.Refused, protocol.MessageTooLarge, 1, deadLettered},
		{protocol.Refused, protocol.InvalidRecord, 1, deadLettered},
		{protocol.Misfit, protocol.InvalidTopicException, always, waits},
		{protocol.Authorization, protocol.TopicAuthorizationFailed, always, waits},
		{protocol.Authorization, protocol.TransactionalIDAuthorizationFailed, always, waits},
		{protocol.Fatal, protocol.UnsupportedVersion, always, waits},
		{protocol.Fenced, protocol.ProducerFenced, 1, committed}, // nobody else is found to have the id
		{protocol.Fenced, protocol.InvalidProducerEpoch, 1, committed},
	}, func(t *testing.T, tt *classCase, c *cluster, seen *atomic.Int32) {
		p := c.open(t, t.TempDir(), transactional("t1"))
		u := unit(t, p, "v", "t")
		switch tt.end {
		case committed, deadLettered:
			err := u.Committed(patient(t))
			if tt.end == committed && err != nil || tt.end == deadLettered && !errors.Is(err, spoold.ErrDeadLettered) {
				t.Fatalf("%v; %d requests; %+v %+v", err, seen.Load(), p.Status().Transaction, p.Status().Topics)
			}
			if tt.end == committed {
				c.readCommitted(t, 1, "t")
			}
		default:
			name := tt.code.String()
			until(t, p, "the status names the code", func(st *spoold.Status) bool {
				text := st.Transaction.Detail + st.Transaction.Fenced
				for _, topic := range st.Topics {
					text += topic.Detail + topic.Trouble
				}
				return strings.Contains(text, name) && (st.Transaction.State == "fenced") == (tt.end == fenced)
			})
			if st := p.Status(); st.Pending != 1 || st.DeadLettered != 0 {
				t.Errorf("%d pending, %d dead-lettered", st.Pending, st.DeadLettered)
			}
		}
		if seen.Load() < min(tt.times, 1) {
			t.Errorf("no request was answered with it")
		}
	})
}
