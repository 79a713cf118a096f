package broker_test

import (
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
)

// What a broker's producer state must do about transactions, one rule a test.

// Versions of requests before and with an epoch for each transaction.
const (
	produceTV1, endTV1 = 11, 4
	produceTV2, endTV2 = 12, 5
)

const txnID = "id"

// transactional is a lab with one topic, and a producer that has the transactional id.
func transactional(t *testing.T, cfg broker.Config) (l *lab, topic string, pid int64, epoch int16) {
	t.Helper()
	cfg.Transactions = 2
	l = newLab(t, cfg)
	topic = l.topic(1, broker.TopicConfig{})
	pid, epoch = l.initTxn()
	return l, topic, pid, epoch
}

func (l *lab) initTxn() (pid int64, epoch int16) {
	l.t.Helper()
	m := raw.InitProducerID(4, -1, -1)
	id := txnID
	m.TransactionalID, m.TransactionTimeoutMillis = &id, 60_000
	var resp *kmsg.InitProducerIDResponse
	l.await("a producer id", func() bool {
		resp = l.ask(0, m).(*kmsg.InitProducerIDResponse)
		return resp.ErrorCode == 0
	})
	return resp.ProducerID, resp.ProducerEpoch
}

// inTxn produces a batch in a transaction.
func (l *lab) inTxn(version int16, topic string, s *raw.Spec) string {
	l.t.Helper()
	s.Flags |= raw.Transactional
	m := raw.Produce(version, -1, 30_000, raw.Part{Topic: topic, Records: s.Bytes()})
	id := txnID
	m.TransactionID = &id
	return outcome(&l.ask(l.to(topic), m).(*kmsg.ProduceResponse).Topics[0].Partitions[0])
}

// announce adds the partition to the transaction, as before KIP-890.
func (l *lab) announce(topic string, pid int64, epoch int16) string {
	l.t.Helper()
	m := kmsg.NewPtrAddPartitionsToTxnRequest()
	m.SetVersion(3)
	m.TransactionalID, m.ProducerID, m.ProducerEpoch = txnID, pid, epoch
	m.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	return raw.Code(l.ask(0, m).(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode)
}

// end ends the transaction, waits for its marker, and gives the epoch that the producer has then.
func (l *lab) end(version int16, topic string, pid int64, epoch int16) int16 {
	l.t.Helper()
	m := kmsg.NewPtrEndTxnRequest()
	m.SetVersion(version)
	m.TransactionalID, m.ProducerID, m.ProducerEpoch, m.Commit = txnID, pid, epoch, true
	resp := l.ask(0, m).(*kmsg.EndTxnResponse)
	if resp.ErrorCode != 0 {
		l.t.Fatalf("EndTxn: %s", raw.Code(resp.ErrorCode))
	}
	l.await("a marker", func() bool { return !l.open(topic, pid) })
	if version < endTV2 {
		return epoch
	}
	return resp.ProducerEpoch
}

// open reports whether a transaction is open in the topic.
func (l *lab) open(topic string, pid int64) bool {
	s := l.known(0, topic, pid)
	return s != "absent" && !strings.Contains(s, "txnStart -1")
}

// mark writes a marker, as a coordinator does.
func (l *lab) mark(topic string, pid int64, epoch int16, reign int32, v2 bool) (code protocol.ErrorCode) {
	l.t.Helper()
	answered := false
	l.WriteMarker(0, topic, pid, epoch, reign, v2, func(c protocol.ErrorCode) { code, answered = c, true })
	l.await("an answer to a marker", func() bool { return answered })
	return code
}

func (l *lab) is(what, got, want string) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestWithoutStateATransactionBeginsAtZeroOnlyUnderVersion2(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	l.is("version 2, sequence 4", l.inTxn(produceTV2, topic, l.of(pid, epoch, 4, 1)), ooo)
	l.is("version 2, sequence 0", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 1)), "NONE off=0")

	l, topic, pid, epoch = transactional(t, broker.Config{})
	l.is("announced", l.announce(topic, pid, epoch), "NONE")
	l.is("version 1, sequence 4", l.inTxn(produceTV1, topic, l.of(pid, epoch, 4, 1)), "NONE off=0")
}

func TestAMarkerOfANewerEpochForgetsBatchesAndSequences(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	l.is("first", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 2)), "NONE off=0")
	next := l.end(endTV2, topic, pid, epoch)
	if next != epoch+1 {
		t.Fatalf("epoch %d after %d", next, epoch)
	}
	l.is("state", l.known(0, topic, pid), "epoch 1 lastSeq -1 txnStart -1 coordEpoch 0")
	l.is("the former batch again", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 2)), "INVALID_PRODUCER_EPOCH")
	l.is("where the former epoch would go on", l.inTxn(produceTV2, topic, l.of(pid, next, 2, 1)), ooo)
	l.is("the first of the new epoch", l.inTxn(produceTV2, topic, l.of(pid, next, 0, 1)), "NONE off=3")
}

// Before KIP-890 the marker has the transaction's own epoch, and sequences go on.
func TestAMarkerOfTheSameEpochKeepsSequences(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	l.announce(topic, pid, epoch)
	l.is("first", l.inTxn(produceTV1, topic, l.of(pid, epoch, 0, 2)), "NONE off=0")
	l.end(endTV1, topic, pid, epoch)
	l.is("state", l.known(0, topic, pid), "epoch 0 lastSeq 1 txnStart -1 coordEpoch 0")
	l.announce(topic, pid, epoch)
	l.is("next", l.inTxn(produceTV1, topic, l.of(pid, epoch, 2, 1)), "NONE off=3")
}

func TestABatchOutsideTheOpenTransactionOfItsProducerIsRefused(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	l.is("in the transaction", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 1)), "NONE off=0")
	l.is("outside", l.send(topic, l.of(pid, epoch, 1, 1)), "INVALID_TXN_STATE")
	l.is("in the transaction again", l.inTxn(produceTV2, topic, l.of(pid, epoch, 1, 1)), "NONE off=1")
	next := l.end(endTV2, topic, pid, epoch)
	l.is("outside, when none is open", l.send(topic, l.of(pid, next, 0, 1)), "NONE off=3")
}

func TestAStartKeepsWhereAnOpenTransactionBegan(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		l, topic, pid, epoch := transactional(t, broker.Config{})
		l.fill(topic, 0, 2)
		l.is("first", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 1)), "NONE off=4")
		l.is("second", l.inTxn(produceTV2, topic, l.of(pid, epoch, 1, 1)), "NONE off=5")
		l.restart(0, inOrder)
		l.is("after a start", l.known(0, topic, pid), "epoch 0 lastSeq 1 txnStart 4 coordEpoch -1")
	}
}

func TestAProducerWithAnOpenTransactionDoesNotExpire(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{Expiration: 1000, Check: 1 << 40})
	l.fill(topic, 0, 1)
	l.is("open", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 1)), "NONE off=2")
	l.pass(2000)
	l.Expire(0)
	l.is("without a transaction", l.known(0, topic, 1), "absent")
	l.is("with an open one", l.known(0, topic, pid), "epoch 0 lastSeq 0 txnStart 2 coordEpoch -1")
	l.end(endTV2, topic, pid, epoch)
	l.pass(2000)
	l.Expire(0)
	l.is("when it has ended", l.known(0, topic, pid), "absent")
}

// A fenced producer is answered with a code that its client can go on from, whichever way it announces its partitions.
func TestAStaleEpochIsInvalidAndNotFencedUnderEitherVersion(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	again, next := l.initTxn()
	if again != pid || next != epoch+1 {
		t.Fatalf("producer %d epoch %d after %d epoch %d", again, next, pid, epoch)
	}
	for _, version := range []int16{produceTV1, produceTV2} {
		l.is("stale", l.inTxn(version, topic, l.of(pid, epoch, 0, 1)), "INVALID_PRODUCER_EPOCH")
	}
	l.is("its own", l.inTxn(produceTV2, topic, l.of(pid, next, 0, 1)), "NONE off=0")
	for _, version := range []int16{produceTV1, produceTV2} {
		l.is("stale, with state", l.inTxn(version, topic, l.of(pid, epoch, 0, 1)), "INVALID_PRODUCER_EPOCH")
	}
}

// With an epoch for each transaction, a marker of the open one's own epoch would end a transaction that has just begun.
func TestAMarkerOfVersion2HasANewerEpochThanItsTransaction(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	l.is("open", l.inTxn(produceTV2, topic, l.of(pid, epoch, 0, 1)), "NONE off=0")
	if code := l.mark(topic, pid, epoch, 0, true); code != protocol.InvalidProducerEpoch || !l.open(topic, pid) {
		t.Errorf("the same epoch: %s", code)
	}
	if code := l.mark(topic, pid, epoch+1, 0, true); code != protocol.None || l.open(topic, pid) {
		t.Errorf("a newer one: %s", code)
	}
	if code := l.mark(topic, pid, epoch+1, 0, true); code != protocol.None {
		t.Errorf("written again when it is over: %s", code)
	}
	if code := l.mark(topic, pid, epoch, 0, false); code != protocol.InvalidProducerEpoch {
		t.Errorf("an older one: %s", code)
	}
}

// Before that it has the same one.
func TestAMarkerOfVersion1HasTheEpochOfItsTransaction(t *testing.T) {
	l, topic, pid, epoch := transactional(t, broker.Config{})
	l.announce(topic, pid, epoch)
	l.is("open", l.inTxn(produceTV1, topic, l.of(pid, epoch, 0, 1)), "NONE off=0")
	if code := l.mark(topic, pid, epoch, 3, false); code != protocol.None || l.open(topic, pid) {
		t.Errorf("the same epoch: %s", code)
	}
	if code := l.mark(topic, pid, epoch, 2, false); code != protocol.TransactionCoordinatorFenced {
		t.Errorf("a coordinator that was followed by another: %s", code)
	}
}

// The last epoch of all is written with the marker of an exhausted producer id, also while it is the transaction's own.
func TestAMarkerOfTheLastEpochIsTakenForTheSameEpoch(t *testing.T) {
	l, topic, _, _ := transactional(t, broker.Config{})
	const pid = 77
	if code := l.mark(topic, pid, math.MaxInt16, 0, true); code != protocol.None {
		t.Errorf("first: %s", code)
	}
	if code := l.mark(topic, pid, math.MaxInt16, 0, true); code != protocol.None {
		t.Errorf("again: %s", code)
	}
}
