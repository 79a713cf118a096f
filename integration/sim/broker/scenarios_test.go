package broker_test

import (
	"testing"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// What a broker's producer state must do, one rule a test (ProducerStateManager, ProducerAppendInfo, UnifiedLog). Those of transactions are in
// txnrules_test.go. Not in the model: compaction.

const ooo = "OUT_OF_ORDER_SEQUENCE_NUMBER"

// want sends a batch and wants an answer.
func (l *lab) want(topic string, s *raw.Spec, outcome string) {
	l.t.Helper()
	if got := l.send(topic, s); got != outcome {
		l.t.Errorf("pid %d e%d s%d+%d: %s, want %s", s.PID, s.Epoch, s.Base, len(s.Records), got, outcome)
	}
}

func one(t *testing.T) (*lab, string) {
	l := newLab(t, broker.Config{})
	return l, l.topic(1, broker.TopicConfig{})
}

func TestABatchOfTheLastFiveIsAnsweredWithItsOffsetAndNotAppended(t *testing.T) {
	l, topic := one(t)
	l.fill(topic, 0, 6)
	for k := int32(5); k >= 1; k-- {
		l.want(topic, l.seq(2*k, 2), []string{"", "NONE off=2", "NONE off=4", "NONE off=6", "NONE off=8", "NONE off=10"}[k])
	}
	l.want(topic, l.seq(0, 2), ooo)
	if n := l.batches(topic); n != 6 {
		t.Errorf("%d batches in the log, want 6", n)
	}
}

func TestTheSameBaseWithAnotherCountIsOutOfOrder(t *testing.T) {
	l, topic := one(t)
	l.fill(topic, 0, 2)
	l.want(topic, l.seq(2, 1), ooo)
	l.want(topic, l.seq(2, 3), ooo)
}

func TestALowerEpochIsRefusedEvenForADuplicate(t *testing.T) {
	l, topic := one(t)
	l.want(topic, l.of(1, 3, 0, 1), "NONE off=0")
	l.want(topic, l.of(1, 4, 0, 1), "NONE off=1")
	l.want(topic, l.of(1, 3, 1, 1), "INVALID_PRODUCER_EPOCH")
	l.want(topic, l.of(1, 3, 0, 1), "INVALID_PRODUCER_EPOCH")
}

func TestAHigherEpochBeginsAtZero(t *testing.T) {
	l, topic := one(t)
	l.want(topic, l.of(1, 0, 0, 1), "NONE off=0")
	l.want(topic, l.of(1, 1, 1, 1), ooo)
	l.want(topic, l.of(1, 1, 0, 1), "NONE off=1")
	// Of the former epoch nothing is remembered: its sequences are free.
	l.want(topic, l.of(1, 1, 1, 1), "NONE off=2")
}

func TestWithoutStateAnySequenceIsTaken(t *testing.T) {
	l, topic := one(t)
	l.want(topic, l.of(1, 5, 77, 1), "NONE off=0")
	l.want(topic, l.of(1, 5, 79, 1), ooo)
	l.want(topic, l.of(1, 5, 78, 1), "NONE off=1")
}

// A follower takes what its leader has taken, whatever it thinks of it.
func TestAFollowerAppendsGapsWithoutAsking(t *testing.T) {
	l, topic, leader := three(t, broker.Config{Expiration: 1000, Check: 1 << 40}, 1)
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	l.pass(2000)
	l.Expire(leader) // followers still know the producer
	l.want(topic, l.seq(100, 1), "NONE off=2")
	l.await("a quiet cluster", l.Quiet)
	for id := range int32(3) {
		if s := l.known(id, topic, 1); s != "epoch 0 lastSeq 100 txnStart -1 coordEpoch -1" {
			t.Errorf("broker %d: %s", id, s)
		}
	}
}

func TestASnapshotKeepsTheLastBatchOfEachProducerThatIsNotExpired(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		l, topic := one(t)
		l.fill(topic, 0, 3)
		other := l.of(2, 4, 9, 1)
		l.want(topic, other, "NONE off=6")
		old := l.of(3, 0, 0, 1)
		old.Records = l.recordsOf(1, "A", l.a.Now()-2*day)
		l.want(topic, old, "NONE off=7")
		if s := l.known(0, topic, 3); s == "absent" {
			t.Fatal("forgotten before the check")
		}
		l.restart(0, inOrder)
		for pid, want := range map[int64]string{1: "epoch 0 lastSeq 5 txnStart -1 coordEpoch -1", 2: "epoch 4 lastSeq 9 txnStart -1 coordEpoch -1", 3: "absent"} {
			if got := l.known(0, topic, pid); got != want {
				t.Errorf("in order %v, producer %d: %s, want %s", inOrder, pid, got, want)
			}
		}
		if got := l.last(topic, 3, 5); got != "1 known: last→ ok@4 OOO OOO" {
			t.Errorf("in order %v: %s", inOrder, got)
		}
	}
}

// With its newest snapshot damaged, a broker has the one before it and the log behind that: more of a producer's batches are known then.
func TestADamagedSnapshotIsDiscardedAndTheOneBeforeItCounts(t *testing.T) {
	for _, before := range []bool{true, false} { // there is one before it, or the log alone counts
		l, topic := one(t)
		first := 0
		if before {
			l.fill(topic, 0, 1)
			l.restart(0, true)
			first = 1
		}
		l.fill(topic, int32(2*first), 3-first)
		l.Shutdown(0)
		l.await("the end of a broker", func() bool { return !l.Alive(0) })
		l.DamageSnapshot(0, topic)
		l.Start(0)
		l.await("a quiet cluster", l.Quiet)
		if got := l.last(topic, 3, 5); got != "3 known: last→ ok@4 ok@2 ok@0" {
			t.Error(got)
		}
	}
}

// DeleteRecords and retention move the log start; what is known of producers stays in memory, until a start finds neither
// record nor snapshot of them.
func TestProducerStateOutlivesItsRecordsInMemoryButNotAStart(t *testing.T) {
	l, topic := one(t)
	l.fill(topic, 0, 3)
	l.trim(topic)
	if got := l.last(topic, 3, 5); got != "3 known: last→ ok@4 ok@2 ok@0" {
		t.Errorf("with all records deleted: %s", got)
	}
	l.restart(0, true)
	if got := l.state(topic); got != "absent" {
		t.Errorf("after a start with an empty log: %s", got)
	}
	// One record more, and the snapshot at the end of the log counts.
	l, topic = one(t)
	l.fill(topic, 0, 3)
	l.trim(topic)
	l.want(topic, l.of(2, 0, 0, 1), "NONE off=6")
	l.restart(0, true)
	if got := l.state(topic); got != "epoch 0 lastSeq 5 txnStart -1 coordEpoch -1" {
		t.Errorf("after a start with one record of another producer: %s", got)
	}
}

// A log start that was not written down is lost with a kill: deleted records are there again.
func TestDeletedRecordsMayComeBackWhenABrokerIsKilled(t *testing.T) {
	for _, wait := range []int64{0, 61_000} {
		l, topic := one(t)
		l.fill(topic, 0, 3)
		l.pass(60_000 - l.a.Now()%60_000) // the checkpoint's time has just come
		l.trim(topic)
		l.pass(wait)
		l.restart(0, false)
		want := "0:e0 s0+2 2:e0 s2+2 4:e0 s4+2"
		if wait > 0 {
			want = ""
		}
		if got := l.log(topic); got != want {
			t.Errorf("killed %d ms after DeleteRecords: log %q, want %q", wait, got, want)
		}
	}
}

// A truncation rebuilds the state from the log: batches above it are forgotten, those below are remembered again.
func TestTruncationForgetsTheBatchesThatItCuts(t *testing.T) {
	l, topic, old := three(t, broker.Config{}, 2)
	l.fill(topic, 0, 3)
	l.await("a quiet cluster", l.Quiet)
	l.CutOff(old, true)
	l.later(old, l.batch(topic, 6, 60_000))
	l.await("another leader", func() bool { return l.Leader(topic, 0) >= 0 && l.Leader(topic, 0) != old })
	l.CutOff(old, false)
	l.await("a quiet cluster", l.Quiet)
	if !l.Move(topic, 0, old) {
		t.Fatal("not moved back")
	}
	l.await("a quiet cluster", l.Quiet)
	if got := l.last(topic, 3, 5); got != "3 known: last→ ok@4 ok@2 ok@0" {
		t.Errorf("at the replica that was cut: %s", got)
	}
	l.want(topic, l.seq(6, 2), "NONE off=6")
}
