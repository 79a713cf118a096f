package txn

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestVersionOneAnnouncesPartitionsBeforeTheyAreWritten(t *testing.T) {
	b := newBench(t, V1)
	b.ready()
	b.m.Begin()
	if b.m.Add(a0) || b.m.Add(b0) || b.m.Add(a1) {
		t.Fatal("a partition may be written to before it was announced")
	}
	r := b.next(AddPartitions)
	q := r.Message.(*kmsg.AddPartitionsToTxnRequest)
	if len(q.Topics) != 2 || len(q.Topics[0].Partitions) != 2 || q.Topics[0].Topic != "a" {
		t.Fatalf("one request is to have all three: %+v", q.Topics)
	}
	b.answer(r, 0)
	if !b.m.Add(a0) || !b.m.Add(b0) || !b.m.Add(a1) {
		t.Fatal("a partition that was announced may not be written to")
	}
	b.offsets()
	b.answer(b.next(AddOffsets), 0)
	b.answer(b.next(FindCoordinator), 0)
	r = b.next(CommitOffsets)
	if r.Broker != 7 || r.MaxVersion != 4 || b.m.ProduceMax() != 11 {
		t.Errorf("TxnOffsetCommit goes to %d up to version %d, Produce up to %d", r.Broker, r.MaxVersion, b.m.ProduceMax())
	}
	b.answer(r, 0)
	b.next(0)
	b.m.Commit()
	r = b.next(EndTxn)
	if r.MaxVersion != 4 || r.Broker != 8 {
		t.Errorf("EndTxn goes to %d up to version %d", r.Broker, r.MaxVersion)
	}
	b.answer(r, 0)
	b.state(Ready)
	if b.m.Outcome() != Committed || b.m.Identity() != (protocol.ProducerIdentity{ID: 4000, Epoch: 3}) {
		t.Errorf("outcome %v, identity %v", b.m.Outcome(), b.m.Identity())
	}
	if !b.m.Begin() {
		t.Error("the next transaction has to be initialised, and nothing was in doubt")
	}
}

func TestVersionTwoTakesItsIdentityFromEndTxn(t *testing.T) {
	b := newBench(t, V2)
	b.ready()
	b.m.Begin()
	if !b.m.Add(a0) {
		t.Fatal("under version 2 Produce adds partitions")
	}
	b.offsets()
	b.answer(b.next(FindCoordinator), 0)
	r := b.next(CommitOffsets)
	if r.MinVersion != 5 {
		t.Errorf("TxnOffsetCommit from version %d", r.MinVersion)
	}
	b.answer(r, 0)
	b.m.Commit()
	b.answer(b.next(EndTxn), 0)
	if b.m.Identity() != (protocol.ProducerIdentity{ID: 4000, Epoch: 4}) {
		t.Errorf("identity %v", b.m.Identity())
	}
	// The last epoch: the answer brings another producer id.
	b.m.Begin()
	b.m.Add(a0)
	b.m.Commit()
	resp := kmsg.NewPtrEndTxnResponse()
	resp.ProducerID, resp.ProducerEpoch = 4001, 0
	b.next(EndTxn)
	b.m.Answer(b.now, Reply{Message: resp})
	if b.m.Identity() != (protocol.ProducerIdentity{ID: 4001, Epoch: 0}) {
		t.Errorf("identity %v", b.m.Identity())
	}
}

func TestAnEmptyTransactionEndsWithoutTheCoordinator(t *testing.T) {
	for _, version := range []int16{V1, V2} {
		b := newBench(t, version)
		b.ready()
		b.m.Begin()
		b.m.Commit()
		b.next(0)
		b.state(Ready)
		b.m.Begin()
		b.m.Abort()
		b.next(0)
		b.state(Ready)
	}
	// Announced, and refused for good: nothing is there to be ended either.
	b := newBench(t, V1)
	b.answer(b.until(AddOffsets), protocol.GroupAuthorizationFailed)
	b.m.Abort()
	b.next(0)
	b.state(Ready)
}

func TestALostAnswerIsAskedAgainAndLeavesDoubt(t *testing.T) {
	for _, k := range []Kind{AddPartitions, AddOffsets, CommitOffsets, EndTxn} {
		b := newBench(t, V1)
		b.until(k)
		b.m.Answer(b.now, Reply{Written: true, Lost: "connection reset"})
		b.answer(b.next(FindCoordinator), 0)
		b.answer(b.next(k), 0)
		if !b.m.Doubtful() {
			t.Errorf("%v was sent twice, and there is no doubt", k)
			continue
		}
		if k != EndTxn {
			for !b.m.Settled() {
				r, _ := b.m.Next(b.now)
				b.answer(r, 0)
			}
			b.m.Commit()
			b.answer(b.next(EndTxn), 0)
		}
		b.state(Ready)
		if b.m.Begin() {
			t.Errorf("%v was sent twice, and the next transaction begins under the same epoch", k)
		}
		b.answer(b.next(InitProducerID), 0)
		if !b.m.Begin() {
			t.Error("it was initialised, and does not begin")
		}
	}
}

func TestARequestThatNeverLeftLeavesNoDoubt(t *testing.T) {
	b := newBench(t, V1)
	b.until(EndTxn)
	b.m.Answer(b.now, Reply{Lost: "not connected"})
	b.answer(b.next(FindCoordinator), 0)
	b.answer(b.next(EndTxn), 0)
	if b.m.Doubtful() || b.m.Outcome() != Committed {
		t.Errorf("doubtful %v, outcome %v", b.m.Doubtful(), b.m.Outcome())
	}
}

func TestAnAbortWaitsForTheRequestUnderWay(t *testing.T) {
	b := newBench(t, V1)
	r := b.until(AddPartitions)
	b.m.Abort()
	b.next(0)
	b.state(Aborting)
	b.answer(r, 0)
	b.answer(b.next(EndTxn), 0)
	b.state(Ready)
	if b.m.Outcome() != Aborted {
		t.Errorf("outcome %v", b.m.Outcome())
	}
	// What was asked for and not sent is dropped.
	b.m.Begin()
	b.m.Add(a0)
	b.m.Abort()
	b.next(0)
	b.state(Ready)
}

func TestARefusedTransactionIsAborted(t *testing.T) {
	b := newBench(t, V2)
	b.ready()
	b.m.Begin()
	b.m.Add(a0)
	b.m.Fail(protocol.MessageTooLarge, "a-0: MESSAGE_TOO_LARGE")
	b.state(AbortableError)
	b.next(0)
	b.m.Abort()
	r := b.next(EndTxn)
	if r.Message.(*kmsg.EndTxnRequest).Commit {
		t.Error("it is ended with commit")
	}
	b.answer(r, 0)
	b.state(Ready)
}

func TestADecidedTransactionIsTakenUpInItsVersion(t *testing.T) {
	id := protocol.ProducerIdentity{ID: 9, Epoch: 5}
	m := Resume(Config{ID: "id", RetryBackoffMs: 1}, id, 5)
	b := &bench{t: t, m: m}
	m.Finalized(1) // whatever the cluster says now
	b.answer(b.next(FindCoordinator), 0)
	r := b.next(EndTxn)
	q := r.Message.(*kmsg.EndTxnRequest)
	if r.MinVersion != 5 || !q.Commit || q.ProducerID != 9 || q.ProducerEpoch != 5 {
		t.Errorf("EndTxn from version %d: %+v", r.MinVersion, q)
	}
	b.answer(r, protocol.InvalidTxnState)
	if m.Outcome() != Aborted {
		t.Errorf("outcome %v", m.Outcome())
	}
}

func TestAnUpgradeTakesEffectBetweenTransactions(t *testing.T) {
	b := newBench(t, V1)
	b.ready()
	b.m.Begin()
	b.m.Add(a0)
	b.m.Finalized(V2)
	b.answer(b.next(AddPartitions), 0)
	b.m.Commit()
	if r := b.next(EndTxn); r.MaxVersion != 4 {
		t.Fatalf("EndTxn up to version %d inside a transaction of version 1", r.MaxVersion)
	} else {
		b.answer(r, 0)
	}
	if b.m.Begin() {
		t.Fatal("the epoch is not moved after the upgrade")
	}
	b.answer(b.next(InitProducerID), 0)
	b.m.Begin()
	if b.m.Version() != V2 || !b.m.Add(a0) {
		t.Errorf("version %d", b.m.Version())
	}
}

func TestOnlyFailedOffsetsAreCommittedAgain(t *testing.T) {
	b := newBench(t, V2)
	b.ready()
	b.m.Begin()
	b.m.AddOffsets(GroupOffsets{Group: Group{ID: "g"}, Offsets: []Offset{{TopicPartition: a0}, {TopicPartition: a1}}})
	b.answer(b.next(FindCoordinator), 0)
	r := b.next(CommitOffsets)
	resp := reply(r, 0).(*kmsg.TxnOffsetCommitResponse)
	resp.Topics[0].Partitions[1].ErrorCode = int16(protocol.UnknownTopicOrPartition)
	b.m.Answer(b.now, Reply{Message: resp})
	q := b.next(CommitOffsets).Message.(*kmsg.TxnOffsetCommitRequest)
	if len(q.Topics) != 1 || len(q.Topics[0].Partitions) != 1 || q.Topics[0].Partitions[0].Partition != 1 {
		t.Errorf("%+v", q.Topics)
	}
}

func TestABrokerThatIsGoneIsNoCoordinatorAnyMore(t *testing.T) {
	b := newBench(t, V2)
	b.ready()
	b.m.Lose(8)
	b.m.Begin()
	b.m.Add(a0)
	b.m.Commit()
	b.answer(b.next(FindCoordinator), 0)
	b.next(EndTxn)
}

func TestAForbiddenTransitionPanics(t *testing.T) {
	for name, f := range map[string]func(*Machine){
		"begin before init":    func(m *Machine) { m.Begin() },
		"commit before begin":  func(m *Machine) { m.Commit() },
		"init twice":           func(m *Machine) { m.Init(); m.Init() },
		"abort before begin":   func(m *Machine) { m.Abort() },
		"begin while fenced":   func(m *Machine) { m.Fence(protocol.ProducerFenced, ""); m.Begin() },
		"commit an unfinished": func(m *Machine) { m.state = InTransaction; m.Add(a0); m.Commit() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(New(Config{ID: "id"}))
		})
	}
}
