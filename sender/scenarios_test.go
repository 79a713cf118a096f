package sender_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// Scenarios that the core decides, each with the number that it has among all (S…).

func TestS01ACrashBeforeTheFirstSendKeepsTheRecordedIdentity(t *testing.T) {
	w := scenario(1)
	w.drop = isProduce
	w.produce(3)
	seal := w.sealed(t)
	w.drop = nil
	w.crash(scenarioCfg)
	w.delivered(t)
	if log := w.log(); len(log) != 1 || log[0].Identity != seal.Identity || log[0].Base != seal.Base {
		t.Errorf("log %+v, want the one batch of seal %+v", log, seal.SealKey)
	}
}

func TestS02CrashAfterTheAppendGetsTheOriginalOffsetAndOneCopy(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 1)
	w.crash(scenarioCfg)
	w.delivered(t)
	if n := len(w.log()); n != 2 {
		t.Errorf("%d batches in the log, want 2", n)
	}
}

func TestS03FiveInFlightAtACrashAreSettledByTheLastOfThem(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 5)
	w.Sent = nil
	w.crash(scenarioCfg)
	w.delivered(t)
	if n := len(w.Sent); n != 1 {
		t.Errorf("%d batches were sent again, want the one that the leader named", n)
	}
}

func TestS04ARestartedBrokerRemembersOneBatchNothingIsRenumbered(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 5)
	w.Kill()
	w.restartBroker(t, 0)
	w.start(scenarioCfg)
	w.delivered(t)
	w.inFirstEpoch(t)
}

func (w *world) inFirstEpoch(t *testing.T) {
	t.Helper()
	for _, b := range w.log() {
		if b.Identity.Epoch != 0 {
			t.Errorf("batch at %d is of %v: the epoch was raised", b.Offset, b.Identity)
		}
	}
}

func TestS05ForgottenProducerStateWithRecordsAbsentParks(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.drop = isProduce
	w.produce(3)
	w.sealed(t)
	w.drop = nil
	w.away(25 * hour)
	w.parked(t, spool.ParkOutsideMargin)
	if n := len(w.log()); n != 1 {
		t.Errorf("%d batches in the log, want 1: nothing may be sent blindly", n)
	}
}

func TestS05ForgottenProducerStateIsSettledByTheTailWhenItIsThere(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 3)
	w.Sent = nil
	w.away(25 * hour)
	w.delivered(t)
	if n := len(w.Sent); n != 0 {
		t.Errorf("%d batches were sent, want none: the tail had them all", n)
	}
}

// Retention, or DeleteRecords, took what was in doubt, and the broker was restarted since: it has no state of the producer.
func TestS05ALogThatBeginsAboveWhatIsInDoubtParks(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 3)
	w.Kill()
	w.Cluster.Retain("a", 0, 0)
	w.restartBroker(t, 0)
	w.start(scenarioCfg)
	before := len(w.log())
	w.parked(t, spool.ParkTailUnreadable)
	if n := len(w.log()); n != before {
		t.Errorf("%d batches were appended, want none: nothing may be sent blindly", n-before)
	}
}

func TestTheMarginIsNeverWiderThanWhatTheClusterRemembers(t *testing.T) {
	w := scenarioOf(broker.Config{Expiration: hour}, broker.TopicConfig{})
	w.acked(t, 1)
	w.run(hour + 30)
	w.forget()
	w.Sent, w.hold = nil, isProduce
	w.produce(30)
	w.run(30)
	if n := len(w.Sent); n != 1 {
		t.Errorf("%d requests in flight an hour after the last ack, want 1", n)
	}
}

func TestS06OldTimestampsAreForgottenAtOnceAndGoAlone(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.lose = isProduce
	for n := range 12 {
		w.Append(w.old(fmt.Sprint("old", n), 3*24*hour))
	}
	w.until(t, "an arrival", func() bool { return len(w.log()) == 2 })
	w.forget()
	w.lose = nil
	w.crash(scenarioCfg)
	most := 0
	w.until(t, "delivery", func() bool {
		most = max(most, w.Unanswered())
		return w.Pending() == 0
	})
	w.check(t)
	if most != 1 {
		t.Errorf("%d batches at a time, want 1", most)
	}
}

func TestS15AnotherClusterIsAnOutage(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	other := w.NewCluster(broker.Config{ID: "another"})
	id := other.CreateTopic("a", 1, 1, broker.TopicConfig{})
	w.Lead(other)
	w.crash(scenarioCfg)
	w.produce(1)
	w.run(5000)
	log, _ := other.Log(id, 0)
	if st := w.Core().Status(w.Now()); len(log) != 0 || st.LinkUp || !strings.Contains(st.LinkErr, "another") {
		t.Errorf("%d batches in the other log, link up %v: %s", len(log), st.LinkUp, st.LinkErr)
	}
	reported := 0
	for _, e := range w.Events {
		if l, ok := e.(sender.LinkChanged); ok && strings.Contains(l.Err, "another") {
			reported++
		}
	}
	if reported != 1 {
		t.Errorf("the other cluster was reported %d times, want once", reported)
	}
	w.Lead(w.Cluster)
	w.cutAll()
	w.delivered(t)
}

func TestS15AnotherClusterIsRefusedAtTheStartWhenAsked(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.Lead(w.NewCluster(broker.Config{ID: "another"}))
	cfg := scenarioCfg
	cfg.CheckCluster = true
	w.crash(cfg)
	w.produce(1)
	w.untilEnded()
	var foreign *sender.ForeignClusterError
	if !errors.As(w.Stopped(), &foreign) || foreign.Found != "another" {
		t.Fatalf("stopped for %v, want a ForeignClusterError", w.Stopped())
	}
}

func TestS16ARecreatedTopicWithNothingInDoubtIsBoundAnew(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := scenario(1)
		w.acked(t, 4)
		w.recreate(2)
		if restart {
			w.crash(scenarioCfg)
		}
		w.produce(3)
		w.until(t, "delivery", func() bool { return w.Pending() == 0 || w.parkOf().Parked() })
		if n := len(w.batches(0)) + len(w.batches(1)); n == 0 || w.parkOf().Parked() {
			t.Errorf("restart %v: %d batches in the new topic, %+v", restart, n, w.parkOf())
		}
	}
}

func TestS16ARecreatedTopicParksWhatIsInDoubtAndTheLaneWaits(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 4)
	w.Kill()
	w.recreate(2)
	w.Pass(12)
	w.start(scenarioCfg)
	w.produce(3)
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
	w.run(200)
	if n := len(w.batches(0)) + len(w.batches(1)); n != 0 {
		t.Fatalf("%d batches went to the new topic without an operator", n)
	}
	if got := w.resolve(t, -1, sender.ResolveResend); len(got.Partitions) != 1 {
		t.Fatalf("Resolve = %+v", got)
	}
	w.until(t, "delivery", func() bool { return w.Pending() == 0 })
}

func TestS19AClockThatJumpsExpiresNothing(t *testing.T) {
	w := scenario(1)
	w.doubt(t, 2)
	w.Shift(50 * 365 * 24 * hour)
	w.crash(scenarioCfg)
	w.delivered(t)
}

func TestS20ASequenceThatWrapsIsTheSameBatchAfterACrash(t *testing.T) {
	const base = 2147483644
	w := scenario(1)
	w.acked(t, 1)
	w.run(50)
	w.Kill()
	w.Pass(25 * hour) // the broker forgets the producer, and takes any sequence then
	w.drop = func(int32, sender.Request) bool { return true }
	w.start(scenarioCfg)
	var batch raw.Spec
	for i := range 6 {
		r := w.old(fmt.Sprint("wrap", i), 0)
		w.Append(r)
		batch.Records = append(batch.Records, raw.Record{Timestamp: r.Timestamp, Value: r.Value})
	}
	w.run(20)
	// The partition has come to the end of the sequences. A seal is across the wrap, its batch in the log, and its answer lost with the host.
	st := w.partition()
	w.Kill()
	seal := spool.Seal{SealKey: spool.SealKey{Identity: st.Identity, Base: base}, Count: 6, Spans: []spool.Span{{First: 1, End: 7}},
		TopicID: w.id("a"), MaxTimestamp: batch.Records[0].Timestamp, SealedAge: w.Now().Age, Tail: 1, Ordinal: 99}
	st.Next, st.Settled = protocol.Sequence(base).Next(6), base-1
	w.Write(&spool.Write{ID: 1, Seals: []spool.Seal{seal}, Partitions: []spool.PartitionState{st}})
	batch.PID, batch.Epoch, batch.Base = int64(st.Identity.ID), int16(st.Identity.Epoch), base
	w.elsewhere(t, &batch)
	w.drop = nil
	w.start(scenarioCfg)
	w.delivered(t)
	if n := len(w.log()); n != 2 {
		t.Errorf("%d batches in the log, want 2", n)
	}
	if got := w.partition().Next; got != 2 {
		t.Errorf("next sequence %d, want 2", got)
	}
}

// elsewhere has somebody else send a batch to topic a.
func (w *world) elsewhere(t *testing.T, batch *raw.Spec) {
	t.Helper()
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(13)
	m.Acks, m.TimeoutMillis = -1, 1000
	p := kmsg.ProduceRequestTopicPartition{Records: batch.Bytes()}
	m.Topics = []kmsg.ProduceRequestTopic{{TopicID: w.id("a"), Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	conn, ok := w.Cluster.Open(w.Cluster.Leader("a", 0), func() {})
	if !ok {
		t.Fatal("the leader takes no connection")
	}
	code := int16(-1)
	conn.Receive(m, func(resp kmsg.Response) { code = resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode })
	for range 100 {
		if w.Pass(1); code >= 0 {
			break
		}
	}
	if code != 0 {
		t.Fatalf("the batch was refused: %v", protocol.ErrorCode(code))
	}
}
