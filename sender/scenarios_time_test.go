package sender_test

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

func TestS29ABatchDaysOldGoesAloneAndIsNeverResentBlindly(t *testing.T) {
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

func TestS51OldRecordsWhoseResendIsRefusedAreSettledByTheTail(t *testing.T) {
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

// ahead refuses records from a first one on, as a broker does whose clock is behind this host's.
func ahead(first string, until func() bool) func([]byte) protocol.ErrorCode {
	refused := false
	return func(v []byte) protocol.ErrorCode {
		refused = refused || string(v) == first
		if refused && !until() {
			return protocol.InvalidTimestamp
		}
		return protocol.None
	}
}

// Law: what a broker refuses for a timestamp that is ahead of its clock is delivered once that is no longer so, in order, and
// few requests are made meanwhile.
func TestRecordsAheadOfTheBrokersClockWaitAndAreDelivered(t *testing.T) {
	for _, crash := range []bool{false, true} {
		w, p := scenario(1)
		topic := w.cluster.topics["a"]
		w.produce(2)
		w.delivered(t)
		begin, healed := w.now.Age, false
		topic.refuse = ahead("v5", func() bool { return healed })
		w.produce(10) // v3 to v12
		w.run(60_000)
		w.seen = nil
		if crash {
			w.crash(scenarioCfg)
		}
		w.produce(5)
		w.run(20 * 60_000)
		if n := len(w.seen); n > 40 {
			t.Errorf("crash %v: %d Produce requests in %d minutes, want few", crash, n, (w.now.Age-begin)/60_000)
		}
		if k := len(w.disk.dead[0]); k > 0 || w.parkOf().Parked() || w.pending() == 0 {
			t.Errorf("crash %v: %d dead letters, park %+v, %d pending", crash, k, w.parkOf(), w.pending())
		}
		if s := w.s.Status(w.now).Topics[0]; !strings.Contains(s.Trouble, "INVALID_TIMESTAMP") {
			t.Errorf("crash %v: trouble %q", crash, s.Trouble)
		}
		healed = true
		w.run(6 * 60_000)
		w.delivered(t)
		_ = p
	}
}

func TestRecordsAheadOfTheBrokersClockCanBePutAside(t *testing.T) {
	w, _ := scenario(1)
	w.cluster.topics["a"].refuse = func(v []byte) protocol.ErrorCode {
		if string(v) == "v2" {
			return protocol.InvalidTimestamp
		}
		return protocol.None
	}
	w.produce(5)
	w.run(12_000)
	e, r, err := w.s.Resolve(w.now, "a", -1, sender.ResolveDeadLetter)
	for try := 0; err != nil && try < 10; try++ { // a copy of it was on its way
		w.carry(e)
		w.run(100)
		e, r, err = w.s.Resolve(w.now, "a", -1, sender.ResolveDeadLetter)
	}
	if err != nil || r.Records != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.carry(e)
	w.until(t, "delivery of the others", func() bool { return w.pending() == 0 })
	if n := len(w.disk.dead[0]); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

func TestARecordThatWasTooOldWhenItCameIsADeadLetter(t *testing.T) {
	w, _ := scenario(1)
	w.cluster.topics["a"].refuse = func(v []byte) protocol.ErrorCode {
		if string(v) == "old" {
			return protocol.InvalidTimestamp
		}
		return protocol.None
	}
	w.n++
	w.records = append(w.records, rec{topic: "a", value: []byte("old"), ts: w.now.Wall - 2*hour})
	w.beginCommit()
	w.produce(3)
	w.until(t, "delivery of the others", func() bool { return w.pending() == 0 })
	if n := len(w.disk.dead[0]); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

// Where nothing happens for minutes, as with a long retry.backoff.max.ms, status must not stand still.
func TestTroubleIsThatOfTheTimeOfTheQuestion(t *testing.T) {
	w, _ := scenario(1)
	w.hold = isProduce
	w.produce(1)
	w.run(50)
	first, later := w.s.Status(w.now).Topics[0], w.now
	later.Age += 61_000
	if s := w.s.Status(later).Topics[0]; !strings.Contains(s.Trouble, "no record of the topic has left for") || s.Trouble == first.Trouble || s.State != "waiting" {
		t.Errorf("trouble %q, and a minute later, in which nothing happened, state %q, trouble %q", first.Trouble, s.State, s.Trouble)
	}
}
