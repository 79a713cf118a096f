package sender_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

func TestS21ARefusedResendOfABatchThatIsInTheLogIsDelivered(t *testing.T) {
	refusals := map[string]func(*modelTopic, *modelPartition){
		"max.message.bytes was lowered":              func(t *modelTopic, _ *modelPartition) { t.maxLen = 1 },
		"message.timestamp.before.max.ms has passed": func(t *modelTopic, _ *modelPartition) { t.refuse = always(protocol.InvalidTimestamp) },
		"the topic became compacted":                 func(t *modelTopic, _ *modelPartition) { t.refuse = always(protocol.InvalidRecord) },
	}
	for name, refuse := range refusals {
		w, p := scenario(1)
		w.doubt(t, p, 1)
		refuse(w.cluster.topics["a"], p)
		w.crash(scenarioCfg)
		w.delivered(t)
		if len(w.disk.dead[0]) != 0 || len(p.log) != 2 {
			t.Errorf("%s: %d dead letters, %d batches in the log; want 0 and 2", name, len(w.disk.dead[0]), len(p.log))
		}
	}
}

func always(code protocol.ErrorCode) func([]byte) protocol.ErrorCode {
	return func([]byte) protocol.ErrorCode { return code }
}

func TestS22AFailOverAfterARollingRestartIsResolvedByTheLastSequence(t *testing.T) {
	w, p := scenario(3)
	p.fresh = false // every replica was restarted while idle
	w.doubt(t, p, 5)
	w.cluster.failOver(p)
	for _, c := range w.conns {
		w.cut(c)
	}
	w.delivered(t)
	for _, b := range p.log {
		if b.id.Epoch != 0 {
			t.Errorf("batch %+v: the epoch was raised", b)
		}
	}
	if len(p.log) != 6 {
		t.Errorf("%d batches in the log, want 6", len(p.log))
	}
}

func TestS29ABatchDaysOldGoesAloneAndIsNeverSentBlindlyWhenItsAnswerIsLost(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.n++
	w.hold = isProduce
	w.records = append(w.records, rec{topic: "a", value: []byte("days old"), ts: w.now.Wall - 3*24*hour})
	w.beginCommit()
	w.until(t, "its arrival", func() bool { return len(p.log) == 2 })
	w.cluster.expireProducers()
	w.hold = nil
	w.seen = nil
	w.cut(w.conns[0])
	w.delivered(t)
	if len(w.seen) != 0 {
		t.Errorf("it was sent again %d times, want 0: the tail settles it", len(w.seen))
	}
}

func TestS30ATopicRecreatedWhileProduceGoesByNameIsNoticedBeforeTheResend(t *testing.T) {
	w, p := scenario(1)
	w.cluster.byName = true
	w.produce(2)
	w.delivered(t)
	w.seen = nil
	w.drop = isProduce
	w.produce(2)
	w.until(t, "the copy that is lost", func() bool { return len(w.seen) > 0 })
	w.cluster.create("a", 1)
	w.run(5)
	w.drop = nil
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
	if n := len(w.cluster.topics["a"].parts[0].log); n != 0 {
		t.Errorf("%d batches went to the new topic", n)
	}
	_ = p
}

func TestS33ABatchThatOnlyTheLeaderHasIsNotSettledByTheQuestionAlone(t *testing.T) {
	w, p := scenario(3)
	w.produce(1)
	w.delivered(t)
	p.isr, w.cluster.noRefuse = false, true // appended at the leader, not replicated
	w.hold = isProduce
	w.produce(3)
	w.until(t, "its arrival", func() bool { return len(p.log) == 2 && p.hw == 1 })
	w.crash(scenarioCfg)
	w.until(t, "the re-send", func() bool { return len(w.seen) >= 3 })
	if w.pending() == 0 {
		t.Fatal("settled while it was on one replica only")
	}
	w.cluster.failOver(p) // and the leader dies with it
	w.hold = nil
	for _, c := range w.conns {
		w.cut(c)
	}
	w.delivered(t)
}

func TestS34ARestoredSpoolIsNoticedBeforeAUsedSequenceIsGivenAway(t *testing.T) {
	w, _ := scenario(1)
	w.produce(3)
	w.delivered(t)
	w.run(50)
	copied := w.disk.clone()
	w.produce(3) // the original goes on
	w.delivered(t)
	w.disk = copied
	w.crash(scenarioCfg)
	w.seen = nil
	w.produce(1)
	for range 3000 {
		if w.fatal != nil {
			break
		}
		w.step()
	}
	var stopped *sender.StoppedError
	if !errors.As(w.fatal, &stopped) || len(w.seen) != 0 {
		t.Fatalf("fatal is %v after %d requests, want a StoppedError before anything is sent", w.fatal, len(w.seen))
	}
	// It is recorded: the next start refuses at once.
	w.disk.apply(&spool.Write{ID: 1 << 60, Stop: stopped.Reason})
	w.fatal = nil
	w.start(scenarioCfg)
	if !errors.As(w.fatal, &stopped) || !stopped.Recorded {
		t.Errorf("the next start says %v", w.fatal)
	}
}

func TestS35AfterADayOfQuietOneIsInFlightUntilTheFirstAck(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.pass(w.now.Age + 25*hour)
	w.cluster.expireProducers()
	w.seen = nil
	w.hold = isProduce
	w.produce(30)
	w.run(30)
	if len(w.seen) != 1 {
		t.Errorf("%d requests in flight, want 1", len(w.seen))
	}
	w.hold = nil
	w.cut(w.conns[0])
	w.delivered(t)
	_ = p
}

func TestS36TheLastBatchOfTheDayIsNotParkedTwoDaysLater(t *testing.T) {
	w, p := scenario(1)
	w.produce(3)
	w.delivered(t)
	w.run(50) // the settlement is on disk after a moment of quiet
	w.pass(w.now.Age + 48*hour)
	w.cluster.expireProducers()
	w.crash(scenarioCfg)
	w.produce(3)
	w.delivered(t)
	if len(p.log) != 2 {
		t.Errorf("%d batches in the log, want 2", len(p.log))
	}
}

func TestS37APassedOverRecordKeepsItsPartitionThroughAGrownTopicAndARestart(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(seed+1, 1)
		w.topics, w.keys = []string{"a"}, 3
		topic := w.cluster.create("a", 3)
		cfg := scenarioCfg
		cfg.BufferMemory = 1500
		w.start(cfg)
		w.run(20)
		topic.parts[1].leader = -1 // nobody leads it: its records are passed over
		w.produce(40)
		w.run(60)
		topic.parts = append(topic.parts, &modelPartition{leader: 0, isr: true, fresh: true, state: map[int64]*modelProducer{}})
		w.run(4000) // metadata.max.age.ms is long: a failed request would tell sooner
		w.produce(40)
		w.run(60)
		if seed%2 == 0 {
			w.crash(cfg)
			w.produce(10)
		}
		w.run(100)
		topic.parts[1].leader, topic.parts[1].epoch = 0, 1
		w.delivered(t)
		w.keysInOrder(t, topic)
	}
}

// keysInOrder checks that each key went to one partition for each partition count,
// and in order within it.
func (w *world) keysInOrder(t *testing.T, topic *modelTopic) {
	t.Helper()
	for n, p := range topic.parts {
		last := uint64(0)
		for _, b := range p.log {
			for _, v := range b.values {
				if at := w.sent[string(v)]; at < last {
					t.Fatalf("partition %d: %s is behind a later record", n, v)
				} else {
					last = at
				}
			}
		}
	}
}

func TestS40AHostWithAWrongClockSendsNothingBlindly(t *testing.T) {
	w, p := scenario(1)
	w.now.Wall -= 3 * 24 * hour // three days slow
	w.produce(1)
	w.delivered(t)
	w.cluster.expireProducers() // by the broker's clock the state is three days old
	w.drop = isProduce
	w.produce(3)
	w.until(t, "a seal on disk", func() bool { return len(w.disk.seals) == 1 })
	w.drop = nil
	w.crash(scenarioCfg)
	w.until(t, "a park", func() bool { return w.parkOf().Parked() })
	if len(p.log) != 1 {
		t.Errorf("%d batches in the log, want 1", len(p.log))
	}
}

func TestS41WithoutTheRightToAskOneIsInFlightAndStatusSaysSo(t *testing.T) {
	w := newWorld(1, 1)
	w.topics, w.keys = []string{"a"}, 0
	w.cluster.create("a", 1)
	w.cluster.noAsk = true
	w.start(scenarioCfg)
	most := 0
	for range 8 {
		w.produce(20)
		w.run(10)
		out := 0
		for _, c := range w.conns {
			for _, r := range c.waiting {
				out += len(r.Batches)
			}
		}
		most = max(most, out)
	}
	w.delivered(t)
	if most > 1 {
		t.Errorf("%d batches were in flight, want 1", most)
	}
	if p := w.s.Status(w.now).Topics[0].Partitions[0]; p.MayAsk {
		t.Error("status does not say that the right to ask is missing")
	}
}

func TestS42AHoleStaysAHoleAndTheRestGoesOnInTheNextEpoch(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.cluster.topics["a"].names = true
	w.cluster.topics["a"].refuse = func(v []byte) protocol.ErrorCode {
		if string(v[:2]) == "no" {
			return protocol.InvalidRecord
		}
		return protocol.None
	}
	for n := range 5 {
		w.records = append(w.records, rec{topic: "a", value: fmt.Appendf(nil, "no%d", n), ts: w.now.Wall})
	}
	w.produce(20)
	w.delivered(t)
	if len(w.disk.dead[0]) != 5 {
		t.Errorf("%d dead letters, want 5", len(w.disk.dead[0]))
	}
	last := p.log[len(p.log)-1]
	if last.id.Epoch != 1 {
		t.Errorf("the rest went out under %v, want epoch 1", last.id)
	}
	if p.log[1].base != 0 {
		t.Errorf("the next epoch began at sequence %d", p.log[1].base)
	}
}

func TestS49AnAckThatOvertakesIsSettledByTheTail(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	p.isr = false
	w.cluster.noRefuse = true // what comes is appended, and times out
	w.produce(5)
	w.until(t, "the first to be appended", func() bool { return len(p.log) == 2 })
	w.produce(5)
	p.isr = true
	w.delivered(t)
	if len(p.log) != 3 && len(p.log) != 2 {
		t.Errorf("%d batches in the log", len(p.log))
	}
	if w.parkOf().Parked() {
		t.Errorf("parked: %+v", w.parkOf())
	}
}

func TestS50AHostRevertedWithItsMemoryStopsBeforeItSends(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	// While the host stood still its other self went on: the log is ahead of it.
	st := p.state[int64(p.log[0].id.ID)]
	ahead := modelBatch{id: p.log[0].id, base: st.window[0].last().Next(1), count: 4, maxTS: w.now.Wall, values: [][]byte{}}
	if _, code := w.cluster.append(w.cluster.topics["a"], p, ahead); code != protocol.None {
		t.Fatal(code)
	}
	w.seen = nil
	w.cut(w.conns[0])
	w.produce(2)
	for range 3000 {
		if w.fatal != nil {
			break
		}
		w.step()
	}
	var stopped *sender.StoppedError
	if !errors.As(w.fatal, &stopped) || len(w.seen) != 0 {
		t.Errorf("fatal is %v after %d requests, want a StoppedError and none", w.fatal, len(w.seen))
	}
}

func TestS51ADrainOfOldRecordsWhoseResendIsRefusedIsSettledByTheTail(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	w.hold = isProduce
	w.records = append(w.records, rec{topic: "a", value: []byte("old"), ts: w.now.Wall - 3*24*hour})
	w.beginCommit()
	w.until(t, "its arrival", func() bool { return len(p.log) == 2 })
	w.hold = nil
	w.cluster.topics["a"].refuse = always(protocol.InvalidTimestamp)
	w.pass(w.now.Age + hour) // longer than the broker's check interval
	w.cluster.expireProducers()
	w.seen = nil
	w.cut(w.conns[0])
	w.delivered(t)
	if len(w.seen) != 0 || len(p.log) != 2 {
		t.Errorf("%d re-sends, %d batches in the log; want 0 and 2", len(w.seen), len(p.log))
	}
}

func TestARefusedBatchOfWhichALateCopyTurnsUpIsDeliveredAndNotDeadLettered(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		w, _ := scenario(1)
		w.calm = true
		w.produce(1)
		w.delivered(t)
		topic := w.cluster.topics["a"]
		w.drop = isProduce
		w.seen = nil
		w.produce(1)
		w.until(t, "the first copy", func() bool { return len(w.seen) > 0 })
		late := w.seen[0]
		w.run(5)
		w.drop = nil
		topic.refuse = always(protocol.InvalidRecord)
		w.until(t, "the refusal of the second copy", func() bool {
			return w.disk.parts[[2]int64{0, 0}].Identity.Epoch == 1
		})
		if w.pending() != 1 || len(w.disk.dead[0]) != 0 {
			t.Fatalf("pending %d, dead letters %d before anything is known; want 1 and 0", w.pending(), len(w.disk.dead[0]))
		}
		topic.refuse = nil
		if arrives {
			_, _ = w.cluster.serve(0, late)
		}
		if !arrives {
			w.crash(scenarioCfg) // what is undecided survives a start
		}
		w.produce(1)
		w.delivered(t)
		want := map[bool]int{true: 0, false: 1}[arrives]
		if len(w.disk.dead[0]) != want {
			t.Errorf("late copy arrives: %v: %d dead letters, want %d", arrives, len(w.disk.dead[0]), want)
		}
	}
}

func TestARecordForAPartitionThatDoesNotExistWaitsAndStopsNobody(t *testing.T) {
	w, p := scenario(1)
	far := spool.AppendEntry(nil, w.now.Wall, 131071, nil, []byte("far"), nil, spool.BodySize(nil, []byte("far"), nil))
	w.produce(1)
	w.delivered(t)
	w.disk.entries[0] = append(w.disk.entries[0], far)
	w.carry(w.s.Committed(w.now, &spool.Committed{Sections: []spool.Section{{Spans: []spool.Span{{First: 1, End: 2}}, Bytes: far}}}))
	w.produce(3)
	w.until(t, "delivery of the others", func() bool { return len(p.log) == 2 })
	status := w.s.Status(w.now).Topics[0]
	if status.Detail != "records wait for partition 131071, the topic has 1" || len(status.Partitions) != 1 {
		t.Errorf("status says %q of %d partitions", status.Detail, len(status.Partitions))
	}
}

func TestOneStaleAnswerAboutATopicParksNothing(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	topic := w.cluster.topics["a"]
	right := topic.id
	w.drop = isProduce
	w.seen = nil
	w.produce(2)
	w.until(t, "a copy that is lost", func() bool { return len(w.seen) > 0 })
	topic.id[3] ^= 0xff // a broker that has not heard answers
	w.run(4)
	topic.id = right
	w.drop = nil
	w.delivered(t)
	if w.parkOf().Parked() || len(p.log) != 2 {
		t.Errorf("parked: %+v; %d batches in the log", w.parkOf(), len(p.log))
	}
}

func TestAFollowerThatLagsIsNotTakenForALogThatWentBack(t *testing.T) {
	w, p := scenario(2)
	w.produce(2)
	w.delivered(t)
	w.drop, w.seen = isProduce, nil
	w.produce(2)
	w.until(t, "a batch in doubt", func() bool { return len(w.seen) > 0 })
	// The leader is restarted: it comes back as a follower without what it had not
	// flushed, and answers for its own replica while metadata still names it.
	old := p.leader
	state := p.state
	p.state = map[int64]*modelProducer{}
	for id, st := range state {
		behind := *st
		first := behind.window[0]
		first.base, first.count = 0, 1
		behind.window = []modelBatch{first}
		p.state[id] = &behind
	}
	w.cluster.deposed = true
	w.run(60)
	w.drop = nil
	p.state, p.leader, p.epoch = state, 1-old, p.epoch+1
	w.cluster.deposed = false
	w.delivered(t)
	if w.parkOf().Parked() {
		t.Errorf("parked: %+v", w.parkOf())
	}
}

func TestARaisedEpochKeepsItsProducerIDOverARestartUntilItIsAcked(t *testing.T) {
	w, p := scenario(1)
	w.produce(1)
	w.delivered(t)
	id := p.log[0].id
	w.cluster.topics["a"].refuse = func(v []byte) protocol.ErrorCode {
		if string(v) == "bad" {
			return protocol.InvalidRecord
		}
		return protocol.None
	}
	w.records = append(w.records, rec{topic: "a", value: []byte("bad"), ts: w.now.Wall})
	w.beginCommit()
	w.until(t, "the next epoch on disk", func() bool { return w.disk.parts[[2]int64{0, 0}].Identity.Epoch == 1 })
	w.crash(scenarioCfg)
	w.produce(2)
	w.delivered(t)
	// A new producer id would not shut out what the former epoch left on its way.
	if got := p.log[1].id; got.ID != id.ID || got.Epoch != 1 {
		t.Errorf("the first batch after the start went out under %v, want %d/1", got, id.ID)
	}
}

func TestAfterARecreatedTopicIsResolvedNothingThatHadLeftIsSentAgain(t *testing.T) {
	w, _ := scenario(1)
	w.cluster.topics["a"].parts = append(w.cluster.topics["a"].parts, &modelPartition{isr: true, fresh: true, state: map[int64]*modelProducer{}})
	w.run(5000) // until metadata shows the second partition
	w.keys = 8
	w.produce(30)
	w.delivered(t)
	w.hold = isProduce // sealed, in doubt when the topic goes
	w.produce(2)
	w.run(20)
	w.hold = nil
	w.cluster.create("a", 2)
	w.crash(scenarioCfg)
	w.until(t, "a park", func() bool { return w.parkOf().Reason == spool.ParkTopicRecreated })
	before := len(w.sent)
	w.disk.whole = true
	e, _, err := w.s.Resolve(w.now, "a", 0, sender.ResolveDelivered)
	if err != nil {
		t.Fatal(err)
	}
	w.carry(e)
	if e, _, err = w.s.Resolve(w.now, "a", 1, sender.ResolveResend); err != nil {
		t.Fatal(err)
	}
	w.carry(e)
	w.until(t, "delivery", func() bool { return w.pending() == 0 })
	n := 0
	for _, p := range w.cluster.topics["a"].parts {
		for _, b := range p.log {
			n += len(b.values)
		}
	}
	if n > 2 {
		t.Errorf("%d records went to the new topic of %d that were ever spooled, want at most the 2 in doubt", n, before)
	}
}
