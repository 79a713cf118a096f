package sender_test

import (
	"fmt"
	"testing"

	"github.com/spoold/spoold/protocol"
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

func TestS22AFailOverAfterARestartIsResolvedByTheLastSequence(t *testing.T) {
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

func TestS33ABatchThatOnlyTheLeaderHasIsNotSettledByTheQuestion(t *testing.T) {
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

func TestS42AGapStaysAndTheRestGoesOnInTheNextEpoch(t *testing.T) {
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

func TestARefusedBatchOfWhichALateCopyTurnsUpIsDelivered(t *testing.T) {
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

func TestS08AnEpochIsRaisedOnDiskBeforeAnythingGoesOutUnderIt(t *testing.T) {
	delivered := 0
	for crashAt := range 24 {
		w, _ := scenario(1)
		w.cluster.topics["a"].refuse = func(v []byte) protocol.ErrorCode {
			if string(v) == "bad" {
				return protocol.InvalidRecord
			}
			return protocol.None
		}
		w.produce(2)
		w.records = append(w.records, rec{topic: "a", value: []byte("bad"), ts: w.now.Wall})
		w.produce(10)
		w.run(int64(4 + crashAt)) // before, at and after the refusal is written
		used := map[string]string{}
		for _, r := range w.seen {
			for _, b := range r.Batches {
				key := fmt.Sprint(b.Identity, b.Base)
				if prev, ok := used[key]; ok && prev != string(b.Records()) && b.Base != 0 {
					t.Errorf("crash at %d: %s was given to other records", crashAt, key)
				}
				used[key] = string(b.Records())
			}
		}
		w.crash(scenarioCfg)
		// Where a copy of what was refused is unanswered and the leader has no state, an operator is asked.
		w.until(t, "an end", func() bool { return w.pending() == 0 || w.parkOf().Reason == spool.ParkRefused })
		if w.pending() == 0 {
			delivered++
		}
	}
	if delivered < 6 {
		t.Errorf("%d of 24 ended with everything delivered", delivered)
	}
}
