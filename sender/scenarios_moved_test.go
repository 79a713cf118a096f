package sender_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

func TestS30ATopicRecreatedIsNoticedBeforeAResendThatGoesByName(t *testing.T) {
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
	w.untilFatal()
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

func TestS37APassedOverRecordKeepsItsPartitionWhenTheTopicGrows(t *testing.T) {
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
		topic.grow(1, 0)
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
	w.untilFatal()
	var stopped *sender.StoppedError
	if !errors.As(w.fatal, &stopped) || len(w.seen) != 0 {
		t.Errorf("fatal is %v after %d requests, want a StoppedError and none", w.fatal, len(w.seen))
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
	if !strings.HasPrefix(status.Detail, "records wait for partition 131071, the topic has 1: add") || len(status.Partitions) != 1 {
		t.Errorf("status says %q of %d partitions", status.Detail, len(status.Partitions))
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

func TestNothingThatHasLeftIsSentAgainToARecreatedTopic(t *testing.T) {
	w, _ := scenario(1)
	w.cluster.topics["a"].grow(1, 0)
	w.run(5000) // until metadata shows the second partition
	w.keys = 8
	w.produce(30)
	w.delivered(t)
	w.hold = isProduce // sealed, in doubt when the topic goes
	w.produce(8)
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
	if n > 8 {
		t.Errorf("%d records went to the new topic of %d that were ever spooled, want at most the 8 in doubt", n, before)
	}
}

// A broker that leads no more names the one that does (KIP-951): neither metadata nor a back-off is waited for.
func TestALeaderThatIsNamedIsUsedAtOnce(t *testing.T) {
	for _, named := range []bool{true, false} {
		w, p := scenario(2)
		cfg := scenarioCfg
		cfg.RetryBackoffMs, cfg.RetryBackoffMaxMs = 10_000, 10_000
		w.crash(cfg)
		w.produce(1)
		w.delivered(t)
		w.cluster.hints = named
		w.cluster.failOver(p)
		w.produce(1)
		began := w.now.Age
		w.delivered(t)
		if took := w.now.Age - began; (took < 200) != named {
			t.Errorf("named %v: took %d ms", named, took)
		}
	}
}
