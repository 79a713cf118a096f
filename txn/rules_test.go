package txn

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestARefusedPartitionLeavesNothingToEnd(t *testing.T) {
	b := newBench(t, V1)
	r := b.until(AddPartitions)
	b.m.Abort()
	b.answer(r, protocol.UnknownTopicOrPartition)
	b.state(Ready)
	if b.m.Outcome() != Aborted {
		t.Errorf("outcome %v, want aborted", b.m.Outcome())
	}
}

func TestAnAnswerComesAfterTheTransactionWasGivenUp(t *testing.T) {
	for _, k := range []Kind{AddOffsets, CommitOffsets} {
		b := newBench(t, V1)
		r := b.until(k)
		b.m.Abort()
		b.answer(r, 0)
		b.next(EndTxn)
	}
}

// In version 2 the broker adds the offsets' partition to the transaction first, and looks at the group then: a member that the
// group does not know has begun a transaction.
func TestRefusedOffsetsHaveBegunATransactionOfVersionTwo(t *testing.T) {
	for _, code := range []protocol.ErrorCode{protocol.IllegalGeneration, protocol.UnknownMemberID, protocol.FencedInstanceID} {
		b := newBench(t, V2)
		b.answer(b.until(CommitOffsets), code)
		b.m.Abort()
		b.next(EndTxn)
	}
}

func TestAnAnnouncementThatWasTakenIsNotWaitedFor(t *testing.T) {
	b := newBench(t, V1)
	b.answer(b.until(AddPartitions), 0)
	b.offsets()
	if _, at := b.m.Next(b.now); at != 0 {
		t.Errorf("the next request waits until %d, want now", at)
	}
	if _, _, why := b.m.Err(); why != "" {
		t.Errorf("the error is %q, want none", why)
	}
}

func TestOfTwoRefusalsTheReasonIsNamed(t *testing.T) {
	for _, order := range [][]protocol.ErrorCode{
		{protocol.OperationNotAttempted, protocol.TransactionAbortable},
		{protocol.TransactionAbortable, protocol.OperationNotAttempted},
	} {
		b := newBench(t, V1)
		b.ready()
		b.m.Begin()
		b.m.Add(a0)
		b.m.Add(a1)
		resp := reply(b.next(AddPartitions), 0).(*kmsg.AddPartitionsToTxnResponse)
		for i, code := range order {
			resp.Topics[0].Partitions[i].ErrorCode = int16(code)
		}
		b.m.Answer(b.now, Reply{Message: resp})
		if _, code, _ := b.m.Err(); code != protocol.TransactionAbortable {
			t.Errorf("of %v the code is %v, want TRANSACTION_ABORTABLE", order, code)
		}
	}
}

func TestAPartitionThatTheAnswerLeavesOutIsNamed(t *testing.T) {
	b := newBench(t, V1)
	b.until(AddPartitions)
	b.m.Answer(b.now, Reply{Message: kmsg.NewPtrAddPartitionsToTxnResponse()})
	if _, code, why := b.m.Err(); code != protocol.UnknownTopicOrPartition || !strings.HasSuffix(why, "the response does not mention a-0") {
		t.Errorf("got %v, %q", code, why)
	}
	b.next(AddPartitions)
}

func TestOffsetsAreCommittedInTheMembersName(t *testing.T) {
	for _, instance := range []string{"", "i"} {
		b := newBench(t, V2)
		b.ready()
		b.m.Begin()
		b.m.AddOffsets(GroupOffsets{Group: Group{ID: "g", Generation: 4, Member: "m", Instance: instance}, Offsets: []Offset{{TopicPartition: a0, Offset: 5}}})
		b.answer(b.next(FindCoordinator), 0)
		q := b.next(CommitOffsets).Message.(*kmsg.TxnOffsetCommitRequest)
		if q.Generation != 4 || q.MemberID != "m" || (q.InstanceID != nil) != (instance != "") {
			t.Errorf("generation %d, member %q, instance %v, want 4, m, %q", q.Generation, q.MemberID, q.InstanceID, instance)
		}
	}
}

func TestTheTopicThatTheProgressIsRefusedForIsKnown(t *testing.T) {
	for group, want := range map[string]string{GroupID("id"): "a", "g": ""} {
		b := newBench(t, V2)
		b.ready()
		b.m.Begin()
		b.m.AddOffsets(GroupOffsets{Group: Group{ID: group}, Offsets: []Offset{{TopicPartition: a0, Offset: 5}}})
		b.answer(b.next(FindCoordinator), 0)
		b.answer(b.next(CommitOffsets), protocol.TopicAuthorizationFailed)
		if got := b.m.ProgressRefused(); got != want {
			t.Errorf("group %s: progress is refused for topic %q, want %q", group, got, want)
		}
	}
}

func TestAGroupsCoordinatorThatIsGoneIsLookedUpAgain(t *testing.T) {
	for broker, want := range map[int32]Kind{7: FindCoordinator, 8: CommitOffsets} {
		b := newBench(t, V2)
		b.answer(b.until(CommitOffsets), protocol.CoordinatorLoadInProgress)
		b.m.Lose(broker)
		b.next(want)
	}
}

// Before version 4 the answer names one coordinator, and not a list; and a broker's id may be 0.
func TestACoordinatorIsTakenFromAnOldAnswer(t *testing.T) {
	for node, want := range map[int32]Kind{0: InitProducerID, -1: FindCoordinator} {
		b := newBench(t, V1)
		b.until(FindCoordinator)
		resp := kmsg.NewPtrFindCoordinatorResponse()
		resp.NodeID = node
		b.m.Answer(b.now, Reply{Message: resp})
		b.next(want)
	}
}

func TestWhatHasNoNameHasANumber(t *testing.T) {
	if got := numKinds.String() + ", " + numStates.String(); got != "kind 7, state 8" {
		t.Errorf("got %q", got)
	}
}

func TestRequestsAreBoundByTheTransactionVersion(t *testing.T) {
	for version, want := range map[int16][2]int16{V1: {4, 11}, V2: {5, -1}} {
		m := newBench(t, version).m
		if got := [2]int16{m.EndVersion(), m.ProduceMax()}; got != want {
			t.Errorf("version %d: EndTxn and Produce up to %v, want %v", version, got, want)
		}
	}
	b := newBench(t, V1)
	if q := b.until(InitProducerID).Message.(*kmsg.InitProducerIDRequest); q.ProducerID != -1 || q.ProducerEpoch != -1 {
		t.Errorf("InitProducerId for producer %d, epoch %d, want -1, -1", q.ProducerID, q.ProducerEpoch)
	}
	b = newBench(t, V1)
	if r := b.until(AddOffsets); r.MinVersion != 0 || r.MaxVersion != -1 {
		t.Errorf("AddOffsetsToTxn in versions %d to %d, want 0 to -1", r.MinVersion, r.MaxVersion)
	}
}

func TestDoubtIsOfATransactionThatHasNotEnded(t *testing.T) {
	b := newBench(t, V2)
	b.ready()
	b.m.Doubt()
	if b.m.Doubtful() {
		t.Error("doubtful between transactions")
	}
	b.m.Begin()
	b.m.Add(a0)
	b.m.Doubt()
	if !b.m.Doubtful() {
		t.Error("not doubtful inside a transaction")
	}
	b = newBench(t, V2)
	b.ready()
	b.m.Begin()
	b.m.Fail(protocol.MessageTooLarge, "")
	b.m.Doubt()
	if !b.m.Doubtful() {
		t.Error("not doubtful in a transaction that can only be aborted")
	}
}

func TestNoOffsetsAreNoReasonToAsk(t *testing.T) {
	b := newBench(t, V1)
	b.ready()
	b.m.Begin()
	b.m.AddOffsets(GroupOffsets{Group: Group{ID: "g"}})
	b.next(0)
	if !b.m.Settled() {
		t.Error("not settled, and nothing was added")
	}
}
