package txn

import (
	"fmt"
	"testing"

	"github.com/spoold/spoold/protocol"
)

// Each row: what a coordinator answers, and what the machine does then: its state, and the next
// request.
func TestWhatEachCoordinatorErrorLeadsTo(t *testing.T) {
	type row struct {
		kind Kind
		code protocol.ErrorCode
		want string
	}
	rows := []row{
		{FindCoordinator, protocol.CoordinatorNotAvailable, "initializing, FindCoordinator"},
		{FindCoordinator, protocol.CoordinatorLoadInProgress, "initializing, FindCoordinator"},
		{FindCoordinator, protocol.NotCoordinator, "initializing, FindCoordinator"},
		{FindCoordinator, protocol.RequestTimedOut, "initializing, FindCoordinator"},
		{FindCoordinator, protocol.TransactionalIDAuthorizationFailed, "denied"},
		{FindCoordinator, protocol.InvalidRequest, "unexpected"},

		{InitProducerID, protocol.NotCoordinator, "initializing, FindCoordinator"},
		{InitProducerID, protocol.CoordinatorNotAvailable, "initializing, FindCoordinator"},
		{InitProducerID, protocol.CoordinatorLoadInProgress, "initializing, InitProducerId"},
		{InitProducerID, protocol.ConcurrentTransactions, "initializing, InitProducerId"},
		{InitProducerID, protocol.RequestTimedOut, "initializing, InitProducerId"},
		{InitProducerID, protocol.ProducerFenced, "fenced"},
		{InitProducerID, protocol.InvalidProducerEpoch, "fenced"},
		{InitProducerID, protocol.InvalidProducerIDMapping, "forgotten"},
		{InitProducerID, protocol.InvalidTransactionTimeout, "bad timeout"},
		{InitProducerID, protocol.TransactionalIDAuthorizationFailed, "denied"},
		{InitProducerID, protocol.ClusterAuthorizationFailed, "denied"},
		{InitProducerID, protocol.InvalidTxnState, "unexpected"},

		{AddPartitions, protocol.NotCoordinator, "in transaction, FindCoordinator"},
		{AddPartitions, protocol.CoordinatorNotAvailable, "in transaction, FindCoordinator"},
		{AddPartitions, protocol.CoordinatorLoadInProgress, "in transaction, AddPartitionsToTxn"},
		{AddPartitions, protocol.ConcurrentTransactions, "in transaction, AddPartitionsToTxn"},
		{AddPartitions, protocol.RequestTimedOut, "in transaction, AddPartitionsToTxn, doubtful"},
		{AddPartitions, protocol.UnknownTopicOrPartition, "in transaction, AddPartitionsToTxn"},
		{AddPartitions, protocol.ProducerFenced, "fenced"},
		{AddPartitions, protocol.InvalidProducerEpoch, "fenced"},
		{AddPartitions, protocol.TransactionalIDAuthorizationFailed, "denied"},
		{AddPartitions, protocol.InvalidTxnState, "unexpected"},
		{AddPartitions, protocol.InvalidProducerIDMapping, "forgotten"},
		{AddPartitions, protocol.UnknownProducerID, "abortable error"},
		{AddPartitions, protocol.TopicAuthorizationFailed, "abortable error"},
		{AddPartitions, protocol.OperationNotAttempted, "abortable error"},
		{AddPartitions, protocol.TransactionAbortable, "abortable error"},

		{AddOffsets, protocol.NotCoordinator, "in transaction, FindCoordinator"},
		{AddOffsets, protocol.CoordinatorNotAvailable, "in transaction, FindCoordinator"},
		{AddOffsets, protocol.CoordinatorLoadInProgress, "in transaction, AddOffsetsToTxn"},
		{AddOffsets, protocol.ConcurrentTransactions, "in transaction, AddOffsetsToTxn"},
		{AddOffsets, protocol.RequestTimedOut, "in transaction, AddOffsetsToTxn, doubtful"},
		{AddOffsets, protocol.ProducerFenced, "fenced"},
		{AddOffsets, protocol.InvalidProducerEpoch, "fenced"},
		{AddOffsets, protocol.TransactionalIDAuthorizationFailed, "denied"},
		{AddOffsets, protocol.InvalidTxnState, "unexpected"},
		{AddOffsets, protocol.InvalidProducerIDMapping, "forgotten"},
		{AddOffsets, protocol.UnknownProducerID, "abortable error"},
		{AddOffsets, protocol.GroupAuthorizationFailed, "abortable error"},
		{AddOffsets, protocol.TransactionAbortable, "abortable error"},

		{CommitOffsets, protocol.NotCoordinator, "in transaction, FindCoordinator"},
		{CommitOffsets, protocol.CoordinatorNotAvailable, "in transaction, FindCoordinator"},
		{CommitOffsets, protocol.CoordinatorLoadInProgress, "in transaction, TxnOffsetCommit"},
		{CommitOffsets, protocol.ConcurrentTransactions, "in transaction, TxnOffsetCommit"},
		{CommitOffsets, protocol.RequestTimedOut, "in transaction, TxnOffsetCommit, doubtful"},
		{CommitOffsets, protocol.UnknownTopicOrPartition, "in transaction, TxnOffsetCommit"},
		{CommitOffsets, protocol.ProducerFenced, "fenced"},
		{CommitOffsets, protocol.InvalidProducerEpoch, "fenced"},
		{CommitOffsets, protocol.TransactionalIDAuthorizationFailed, "denied"},
		{CommitOffsets, protocol.InvalidProducerIDMapping, "forgotten"},
		{CommitOffsets, protocol.InvalidTxnState, "abortable error"},
		{CommitOffsets, protocol.TopicAuthorizationFailed, "abortable error"},
		{CommitOffsets, protocol.GroupAuthorizationFailed, "abortable error"},
		{CommitOffsets, protocol.UnknownMemberID, "abortable error"},
		{CommitOffsets, protocol.IllegalGeneration, "abortable error"},
		{CommitOffsets, protocol.FencedInstanceID, "abortable error"},
		{CommitOffsets, protocol.UnsupportedForMessageFormat, "unexpected"},
		{CommitOffsets, protocol.TransactionAbortable, "abortable error"},

		{EndTxn, protocol.NotCoordinator, "committing, FindCoordinator"},
		{EndTxn, protocol.CoordinatorNotAvailable, "committing, FindCoordinator"},
		{EndTxn, protocol.CoordinatorLoadInProgress, "committing, EndTxn"},
		{EndTxn, protocol.ConcurrentTransactions, "committing, EndTxn"},
		{EndTxn, protocol.RequestTimedOut, "committing, EndTxn, doubtful"},
		{EndTxn, protocol.UnknownServerError, "committing, EndTxn, doubtful"},
		{EndTxn, protocol.None, "ready, committed"},
		{EndTxn, protocol.InvalidTxnState, "ready, aborted, doubtful"},
		{EndTxn, protocol.ProducerFenced, "fenced, open"},
		{EndTxn, protocol.InvalidProducerEpoch, "fenced, open"},
		{EndTxn, protocol.InvalidProducerIDMapping, "forgotten, open"},
		{EndTxn, protocol.UnknownProducerID, "forgotten, open"},
		{EndTxn, protocol.TransactionAbortable, "unexpected, open"},
		{EndTxn, protocol.TransactionalIDAuthorizationFailed, "denied"},
	}
	for _, x := range rows {
		for _, version := range []int16{V1, V2} {
			if version == V2 && (x.kind == AddPartitions || x.kind == AddOffsets) {
				continue // never sent
			}
			t.Run(fmt.Sprintf("%v answers %v in version %d", x.kind, x.code, version), func(t *testing.T) {
				b := newBench(t, version)
				b.answer(b.until(x.kind), x.code)
				if got := b.describe(); got != x.want {
					t.Errorf("got %q, want %q", got, x.want)
				}
			})
		}
	}
}

// describe says where the machine is, and what it sends next.
func (b *bench) describe() string {
	s := b.m.State().String()
	switch b.m.State() {
	case FatalError:
		cause, _, _ := b.m.Err()
		s = cause.String()
	case Initializing, InTransaction, Committing, Aborting:
		r, at := b.m.Next(b.now)
		if r == nil && at > 0 {
			b.now = at
			r, _ = b.m.Next(b.now)
		}
		if r != nil {
			s += ", " + r.Kind.String()
		}
	}
	if o := b.m.Outcome(); o != NotEnded {
		s += ", " + o.String()
	}
	if b.m.Doubtful() {
		s += ", doubtful"
	}
	return s
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	tests := []struct {
		kind Kind
		code protocol.ErrorCode
		want string
	}{
		{InitProducerID, protocol.TransactionalIDAuthorizationFailed, "InitProducerId: TRANSACTIONAL_ID_AUTHORIZATION_FAILED: grant WRITE and DESCRIBE on transactional id id"},
		{FindCoordinator, protocol.TransactionalIDAuthorizationFailed, "FindCoordinator: TRANSACTIONAL_ID_AUTHORIZATION_FAILED: grant WRITE and DESCRIBE on transactional id id"},
		{AddPartitions, protocol.TopicAuthorizationFailed, "AddPartitionsToTxn: a-0: TOPIC_AUTHORIZATION_FAILED: grant WRITE on topic a"},
		{CommitOffsets, protocol.GroupAuthorizationFailed, "TxnOffsetCommit: group g, a-0: GROUP_AUTHORIZATION_FAILED: grant READ on group g"},
		{CommitOffsets, protocol.IllegalGeneration, "TxnOffsetCommit: group g, a-0: ILLEGAL_GENERATION: the group has given out its partitions anew without this member, or its generation is an older one: poll again, and go on from the committed offsets"},
		{CommitOffsets, protocol.FencedInstanceID, "TxnOffsetCommit: group g, a-0: FENCED_INSTANCE_ID: another member has this one's group.instance.id"},
		{CommitOffsets, protocol.TopicAuthorizationFailed, "TxnOffsetCommit: group g, a-0: TOPIC_AUTHORIZATION_FAILED: grant READ on topic a"},
	}
	for _, x := range tests {
		b := newBench(t, V1)
		b.answer(b.until(x.kind), x.code)
		if _, _, got := b.m.Err(); got != x.want {
			t.Errorf("%v: got %q, want %q", x.kind, got, x.want)
		}
	}
	b := newBench(t, V1)
	b.answer(b.until(AddPartitions), protocol.TopicAuthorizationFailed)
	if got := b.m.Refused(); len(got) != 1 || got[0] != "a" {
		t.Errorf("refused topics are %v, want [a]", got)
	}
	b = newBench(t, V1)
	b.answer(b.until(InitProducerID), protocol.InvalidTransactionTimeout)
	if _, _, got := b.m.Err(); got != "InitProducerId: INVALID_TRANSACTION_TIMEOUT: transaction.timeout.ms = 60000 is above the brokers' transaction.max.timeout.ms: lower it" {
		t.Errorf("got %q", got)
	}
}
