package sender_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/sender"
)

func TestS29ABatchDaysOldGoesAloneAndIsNeverResentBlindly(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.hold = isProduce
	w.Append(w.old("days old", 3*24*hour))
	w.until(t, "its arrival", func() bool { return len(w.log()) == 2 })
	w.forget()
	w.hold, w.Sent = nil, nil
	w.Cut(0)
	w.delivered(t)
	if n := len(w.Sent); n != 0 {
		t.Errorf("it was sent again %d times, want 0: the tail settles it", n)
	}
}

func TestS35AfterADayOfQuietOneIsInFlightUntilTheFirstAck(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	w.run(25 * hour)
	w.Sent, w.hold = nil, isProduce
	w.produce(30)
	w.run(30)
	if n := len(w.Sent); n != 1 {
		t.Errorf("%d requests in flight, want 1", n)
	}
	w.hold = nil
	w.Cut(0)
	w.delivered(t)
}

func TestS36TheLastBatchOfTheDayIsNotParkedTwoDaysLater(t *testing.T) {
	w := scenario(1)
	w.acked(t, 3)
	w.away(48 * hour)
	w.acked(t, 3)
	if n := len(w.log()); n != 2 {
		t.Errorf("%d batches in the log, want 2", n)
	}
}

func TestS40AHostWithAWrongClockSendsNothingBlindly(t *testing.T) {
	w := scenario(1)
	w.Shift(-3 * 24 * hour) // three days slow
	w.acked(t, 1)
	w.forget() // by the broker's clock the state is three days old
	w.drop = isProduce
	w.produce(3)
	w.sealed(t)
	w.drop = nil
	w.crash(scenarioCfg)
	w.until(t, "a park", func() bool { return w.parkOf().Parked() })
	if n := len(w.log()); n != 1 {
		t.Errorf("%d batches in the log, want 1", n)
	}
}

func TestS51OldRecordsWhoseResendIsRefusedAreSettledByTheTail(t *testing.T) {
	w := scenario(1)
	w.acked(t, 1)
	cfg := scenarioCfg
	cfg.RequestTimeoutMs = 2 * hour
	w.crash(cfg)
	w.hold = isProduce
	w.Append(w.old("old", 3*24*hour))
	w.until(t, "its arrival", func() bool { return len(w.log()) == 2 })
	w.hold = nil
	w.configure(func(c *broker.TopicConfig) { c.Before = 1 })
	w.run(hour) // longer than the broker's check interval
	w.Sent = nil
	w.Cut(0)
	w.delivered(t)
	if n := len(w.log()); len(w.Sent) != 0 || n != 2 {
		t.Errorf("%d re-sends, %d batches in the log; want 0 and 2", len(w.Sent), n)
	}
}

// What a broker refuses for a timestamp that is ahead of its clock is delivered once that is no longer so, in order, and
// few requests are made meanwhile.
func TestRecordsAheadOfTheBrokersClockWaitAndAreDelivered(t *testing.T) {
	for _, crash := range []bool{false, true} {
		w := scenarioOf(broker.Config{}, broker.TopicConfig{After: hour})
		w.acked(t, 2)
		begin := w.Ms()
		list := w.records(10)
		for i := 2; i < 10; i++ {
			list[i].Timestamp = w.Now().Wall + hour + 25*60_000
		}
		w.Append(list...)
		w.run(60_000)
		w.Sent = nil
		if crash {
			w.crash(scenarioCfg)
		}
		w.produce(5)
		w.run(20 * 60_000)
		if n := len(w.Sent); n == 0 || n > 40 {
			t.Errorf("crash %v: %d Produce requests in %d minutes, want few", crash, n, (w.Ms()-begin)/60_000)
		}
		if w.dead() > 0 || w.parkOf().Parked() || w.Pending() == 0 {
			t.Errorf("crash %v: %d dead letters, park %+v, %d pending", crash, w.dead(), w.parkOf(), w.Pending())
		}
		if s := w.status(); !strings.Contains(s.Trouble, "INVALID_TIMESTAMP") {
			t.Errorf("crash %v: trouble %q", crash, s.Trouble)
		}
		w.run(10 * 60_000)
		w.delivered(t)
	}
}

// A host whose clock is three hours ahead stamps what the broker takes in two hours, when the stamps are old by this host's clock, as they
// are at once where that clock jumps on. What the broker calls ahead is delivered all the same, and what it calls too old is not waited for.
func TestWhatTheBrokerCallsAheadWaitsWhateverThisHostsClockShows(t *testing.T) {
	for _, step := range []int64{0, 12 * hour} {
		w := scenarioOf(broker.Config{}, broker.TopicConfig{After: hour, Worded: true})
		w.Shift(3 * hour)
		w.produce(10)
		w.run(30_000)
		w.Shift(step)
		w.run(90 * 60_000)
		if w.dead() > 0 || w.parkOf().Parked() || w.Pending() != 10 {
			t.Fatalf("step %d: %d dead letters, park %+v, %d pending", step, w.dead(), w.parkOf(), w.Pending())
		}
		w.crash(scenarioCfg) // the broker knows no producer: nothing was ever acked
		w.run(1_000)
		if s := w.status(); !strings.Contains(s.Trouble, "ahead of the broker's clock") {
			t.Errorf("step %d: trouble after a start: %q", step, s.Trouble)
		}
		w.run(hour)
		w.delivered(t)
	}
	w := scenarioOf(broker.Config{}, broker.TopicConfig{Before: hour, Worded: true})
	w.Shift(-2 * hour)
	w.produce(1)
	w.run(30_000)
	w.Shift(2 * hour)
	w.until(t, "a dead letter", func() bool { return w.dead() == 1 })
}

// ahead spools five records, the second of which is too far ahead of the broker's clock.
func ahead() *world {
	w := scenarioOf(broker.Config{}, broker.TopicConfig{After: hour})
	list := w.records(5)
	list[1].Timestamp = w.Now().Wall + 24*hour
	w.Append(list...)
	return w
}

func TestRecordsAheadOfTheBrokersClockCanBePutAside(t *testing.T) {
	w := ahead()
	w.run(12_000)
	e, r, err := w.Core().Resolve(w.Now(), "a", -1, sender.ResolveDeadLetter)
	for try := 0; err != nil && try < 10; try++ { // a copy of it was on its way
		w.Carry(e)
		w.run(100)
		e, r, err = w.Core().Resolve(w.Now(), "a", -1, sender.ResolveDeadLetter)
	}
	if err != nil || r.Records != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.Carry(e)
	w.delivered(t)
	if w.dead() != 1 {
		t.Errorf("%d dead letters, want 1", w.dead())
	}
}

func TestARecordThatWasTooOldWhenItCameIsADeadLetter(t *testing.T) {
	w := scenarioOf(broker.Config{}, broker.TopicConfig{Before: hour})
	w.Append(slices.Insert(w.records(3), 0, w.old("old", 2*hour))...)
	w.delivered(t)
	if w.dead() != 1 {
		t.Errorf("%d dead letters, want 1", w.dead())
	}
}

// Where nothing happens for minutes, as with a long retry.backoff.max.ms, status must not stand still.
func TestTroubleIsThatOfTheTimeOfTheQuestion(t *testing.T) {
	w := scenario(1)
	w.hold = isProduce
	w.produce(1)
	w.run(50)
	first, later := w.status(), w.Now()
	later.Age += 61_000
	if s := w.Core().Status(later).Topics[0]; !strings.Contains(s.Trouble, "no record of the topic has left for") || s.Trouble == first.Trouble || s.State != "waiting" {
		t.Errorf("trouble %q, and a minute later, in which nothing happened, state %q, trouble %q", first.Trouble, s.State, s.Trouble)
	}
}
