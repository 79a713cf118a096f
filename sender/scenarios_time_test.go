package sender_test

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

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
