package sender_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// The scenarios of the catalogue (S-…) that the core decides, each by name.

var scenarioCfg = sender.Config{BatchSize: 200, BufferMemory: 1 << 20, RetryBackoffMs: 5, RetryBackoffMaxMs: 40, Seed: 1}

const hour = int64(3600_000)

// scenario is a host with nothing spooled yet and a cluster with topic "a" of one partition.
func scenario(brokers int32) (*world, *modelPartition) {
	w := newWorld(1, brokers)
	w.topics, w.keys = []string{"a"}, 0
	w.cluster.create("a", 1)
	w.start(scenarioCfg)
	w.run(20)
	return w, w.cluster.topics["a"].parts[0]
}

func (w *world) run(ms int64) {
	for end := w.now.Age + ms; w.now.Age < end && w.fatal == nil; {
		w.step()
	}
}

func (w *world) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := w.now.Age + 60_000; !cond(); {
		if w.now.Age > end || w.fatal != nil {
			for _, l := range w.trace[max(0, len(w.trace)-60):] {
				t.Log(l)
			}
			t.Fatalf("%s never came to pass (stopped: %v): %+v", what, w.fatal, w.s.Status(w.now).Topics)
		}
		w.step()
	}
}

// untilFatal goes on until the core stops for good, or for so long that it never will.
func (w *world) untilFatal() {
	for n := 0; n < 3000 && w.fatal == nil; n++ {
		w.step()
	}
}

func (w *world) pending() int {
	n := len(w.records)
	for i := range w.disk.topics {
		n += len(w.disk.entries[i]) - w.disk.settled[i].CountIn(spool.Span{End: spool.Index(len(w.disk.entries[i]))})
	}
	return n
}

func (w *world) delivered(t *testing.T) {
	t.Helper()
	w.until(t, "delivery of everything", func() bool { return w.pending() == 0 })
	w.check(t)
}

func (w *world) parkOf() spool.Park {
	for _, topic := range w.s.Status(w.now).Topics {
		for _, p := range topic.Partitions {
			if p.Park.Parked() {
				return p.Park
			}
		}
	}
	return spool.Park{}
}

// parkedFor waits until a partition is parked, for that reason.
func (w *world) parkedFor(t *testing.T, reason string) {
	t.Helper()
	w.until(t, "a park", func() bool { return w.parkOf().Parked() })
	if got := w.parkOf().Reason; got != reason {
		t.Errorf("parked for %q, want %q", got, reason)
	}
}

// acked produces n records and waits until they have left.
func (w *world) acked(t *testing.T, n int) {
	t.Helper()
	w.produce(n)
	w.until(t, "the first ack", func() bool { return w.pending() == 0 })
}

func isProduce(_ int32, r sender.Request) bool { return r.Kind == sender.KindProduce }

// doubt leaves n batches sealed and in the log, whose answers were lost with the host.
func (w *world) doubt(t *testing.T, p *modelPartition, n int) {
	t.Helper()
	w.acked(t, 1)
	before := len(p.log)
	w.hold = isProduce
	for range n {
		w.produce(5) // a batch has room for no more
		w.run(12)
	}
	w.until(t, "the batches' arrival", func() bool { return len(p.log) == before+n })
	w.hold = nil
}

func TestS01ACrashBeforeTheFirstSendKeepsTheRecordedIdentity(t *testing.T) {
	w, p := scenario(1)
	w.drop = isProduce
	w.produce(3)
	w.until(t, "a seal on disk", func() bool { return len(w.disk.seals) == 1 })
	var seal spool.Seal
	for _, s := range w.disk.seals {
		seal = s
	}
	w.drop = nil
	w.crash(scenarioCfg)
	w.delivered(t)
	if len(p.log) != 1 || p.log[0].id != seal.Identity || p.log[0].base != seal.Base {
		t.Errorf("log %+v, want the one batch of seal %+v", p.log, seal.SealKey)
	}
}

func TestS02CrashAfterTheAppendGetsTheOriginalOffsetAndOneCopy(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 1)
	w.crash(scenarioCfg)
	w.delivered(t)
	if len(p.log) != 2 {
		t.Errorf("%d batches in the log, want 2", len(p.log))
	}
}

func TestS03FiveInFlightAtACrashAreSettledByTheLastOfThem(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 5)
	w.crash(scenarioCfg)
	w.seen = nil
	w.delivered(t)
	if len(w.seen) != 1 {
		t.Errorf("%d batches were sent again, want the one that the leader named", len(w.seen))
	}
}

func TestS04ARestartedBrokerRemembersOneBatchNothingIsRenumbered(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 5)
	w.cluster.restart(p)
	w.crash(scenarioCfg)
	w.delivered(t)
	for _, b := range p.log {
		if b.id.Epoch != 0 {
			t.Errorf("batch %v: the epoch was raised", b)
		}
	}
}

func TestS05ForgottenProducerStateWithRecordsAbsentParks(t *testing.T) {
	w, p := scenario(1)
	w.acked(t, 1)
	w.drop = isProduce
	w.produce(3)
	w.until(t, "a seal on disk", func() bool { return len(w.disk.seals) == 1 })
	w.drop = nil
	w.pass(w.now.Age + 25*hour)
	w.cluster.expireProducers()
	w.crash(scenarioCfg)
	w.parkedFor(t, spool.ParkOutsideMargin)
	if len(p.log) != 1 {
		t.Errorf("%d batches in the log, want 1: nothing may be sent blindly", len(p.log))
	}
}

func TestS05ForgottenProducerStateIsSettledByTheTailWhenItIsThere(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 3)
	w.pass(w.now.Age + 25*hour)
	w.cluster.expireProducers()
	w.crash(scenarioCfg)
	w.seen = nil
	w.delivered(t)
	if len(w.seen) != 0 {
		t.Errorf("%d batches were sent, want none: the tail had them all", len(w.seen))
	}
}

// Retention, or DeleteRecords, took what was in doubt, and the broker was restarted since: it knows nothing any more.
func TestS05ALogThatBeginsAboveWhatIsInDoubtParks(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 3)
	p.start, p.log = p.end(), nil
	w.cluster.restart(p)
	w.crash(scenarioCfg)
	w.parkedFor(t, spool.ParkTailUnreadable)
	if len(p.log) != 0 {
		t.Errorf("%d batches in the log, want none: nothing may be sent blindly", len(p.log))
	}
}

func TestTheMarginIsNeverWiderThanWhatTheClusterRemembers(t *testing.T) {
	w := newWorld(1, 1)
	w.topics, w.keys = []string{"a"}, 0
	w.cluster.create("a", 1)
	w.cluster.expire = hour
	w.start(scenarioCfg)
	w.produce(1)
	w.delivered(t)
	w.run(20)
	w.pass(w.now.Age + hour)
	w.cluster.expireProducers()
	w.seen, w.hold = nil, isProduce
	w.produce(30)
	w.run(30)
	if len(w.seen) != 1 {
		t.Errorf("%d requests in flight an hour after the last ack, want 1", len(w.seen))
	}
}

func TestS06OldTimestampsAreForgottenAtOnceAndGoAlone(t *testing.T) {
	w, p := scenario(1)
	w.acked(t, 1)
	old := w.now.Wall - 3*24*hour
	w.lose = isProduce
	for range 12 {
		w.n++
		w.records = append(w.records, rec{topic: "a", value: fmt.Appendf(nil, "old%d", w.n), ts: old})
	}
	w.beginCommit()
	w.until(t, "an arrival", func() bool { return len(p.log) == 2 })
	w.cluster.expireProducers()
	w.lose = nil
	w.crash(scenarioCfg)
	w.delivered(t)
	for _, r := range w.seen {
		if len(r.Batches) != 1 {
			t.Errorf("%d batches in one request", len(r.Batches))
		}
	}
}

func TestS15AnotherClusterIsAnOutage(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	right := w.cluster.id
	w.cluster.id = "another"
	w.crash(scenarioCfg)
	w.produce(1)
	w.run(5000)
	if st := w.s.Status(w.now); len(p.log) != 1 || st.LinkUp || !strings.Contains(st.LinkErr, "another") {
		t.Errorf("%d batches in the log, link up %v: %s", len(p.log), st.LinkUp, st.LinkErr)
	}
	told := 0
	for _, e := range w.told {
		if l, ok := e.(sender.LinkChanged); ok && strings.Contains(l.Err, "another") {
			told++
		}
	}
	if told == 0 || told > 2 {
		t.Errorf("the other cluster was reported %d times", told)
	}
	w.cluster.id = right
	w.delivered(t)
}

func TestS15AnotherClusterIsRefusedAtTheStartWhenAsked(t *testing.T) {
	w, _ := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.cluster.id = "another"
	cfg := scenarioCfg
	cfg.CheckCluster = true
	w.crash(cfg)
	w.produce(1)
	w.untilFatal()
	var foreign *sender.ForeignClusterError
	if !errors.As(w.fatal, &foreign) || foreign.Found != "another" {
		t.Fatalf("fatal is %v, want a ForeignClusterError", w.fatal)
	}
}

func TestS16ARecreatedTopicWithNothingInDoubtIsBoundAnew(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w, _ := scenario(1)
		w.produce(4)
		w.delivered(t)
		fresh := w.cluster.create("a", 2)
		if restart {
			w.crash(scenarioCfg)
		}
		w.produce(3)
		w.until(t, "delivery", func() bool { return w.pending() == 0 || w.parkOf().Parked() })
		if n := len(fresh.parts[0].log) + len(fresh.parts[1].log); n == 0 || w.parkOf().Parked() {
			t.Errorf("restart %v: %d batches in the new topic, %+v", restart, n, w.parkOf())
		}
	}
}

func TestS16ARecreatedTopicParksWhatIsInDoubtAndTheLaneWaits(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 4)
	w.cluster.create("a", 2)
	w.crash(scenarioCfg)
	w.produce(3)
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
	w.run(200)
	if n := len(w.cluster.topics["a"].parts[0].log) + len(w.cluster.topics["a"].parts[1].log); n != 0 {
		t.Fatalf("%d batches went to the new topic without an operator", n)
	}
	e, got, err := w.s.Resolve(w.now, "a", -1, sender.ResolveResend)
	if err != nil || len(got.Partitions) != 1 {
		t.Fatalf("Resolve = %+v, %v", got, err)
	}
	w.carry(e)
	w.until(t, "delivery", func() bool { return w.pending() == 0 })
}

func TestS19AClockThatJumpsExpiresNothing(t *testing.T) {
	w, p := scenario(1)
	w.doubt(t, p, 2)
	w.now.Wall += 50 * 365 * 24 * hour
	w.crash(scenarioCfg)
	w.delivered(t)
}

func TestS20ASequenceThatWrapsIsTheSameBatchAfterACrash(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	// The partition has come to the end of the sequences.
	st := w.disk.parts[[2]int64{0, 0}]
	st.Next, st.Settled = 2147483644, 2147483643
	w.disk.parts[[2]int64{0, 0}] = st
	prod := p.state[int64(st.Identity.ID)]
	b := prod.window[len(prod.window)-1]
	b.base, b.count = 2147483643, 1
	prod.window = []modelBatch{b}
	// A seal across the wrap, its batch in the log, its answer lost with the host.
	w.records = nil
	for i := range 6 {
		v := fmt.Appendf(nil, "wrap%d", i)
		w.disk.entries[0] = append(w.disk.entries[0], entryOf(v, w.now.Wall))
		w.n++
		w.sent[string(v)] = w.n
	}
	seal := spool.Seal{SealKey: spool.SealKey{Lane: 0, Partition: 0, Identity: st.Identity, Base: 2147483644}, Count: 6,
		Spans: []spool.Span{{First: 1, End: 7}}, TopicID: w.disk.bound[0], MaxTimestamp: w.now.Wall, SealedAge: w.now.Age, Tail: 1, Ordinal: 99}
	w.disk.seals[seal.SealKey] = seal
	st.Next = protocol.Sequence(2147483644).Next(6)
	w.disk.parts[[2]int64{0, 0}] = st
	mb := modelBatch{id: st.Identity, base: 2147483644, count: 6, maxTS: w.now.Wall}
	for i := range 6 {
		mb.values = append(mb.values, fmt.Appendf(nil, "wrap%d", i))
	}
	if _, code := w.cluster.append(w.cluster.topics["a"], p, mb); code != protocol.None {
		t.Fatalf("the model refused the batch: %v", code)
	}
	w.crash(scenarioCfg)
	w.delivered(t)
	if len(p.log) != 2 {
		t.Errorf("%d batches in the log, want 2", len(p.log))
	}
	if got := w.disk.parts[[2]int64{0, 0}].Next; got != 2 {
		t.Errorf("next sequence %d, want 2", got)
	}
}

func entryOf(v []byte, ts int64) []byte {
	return spool.AppendEntry(nil, ts, protocol.NoPartition, nil, v, nil, spool.BodySize(nil, v, nil))
}
