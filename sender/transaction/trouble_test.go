package transaction

import (
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

func TestStatusSaysThatRecordsWaitForOverAMinute(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(2, 0)
	w.run()
	w.longest = 900_000
	w.spooled(1, 0)
	trouble := func() string { return w.s.Status(w.now).Topics[0].Trouble }
	w.now.Age += 59_000
	if got := trouble(); got != "" {
		t.Errorf("trouble after 59 s: %q", got)
	}
	w.now.Age += 2000
	if got := trouble(); !strings.HasPrefix(got, "no record of the topic has left for 61 s") {
		t.Errorf("trouble after 61 s: %q", got)
	}
	w.run()
	if got := trouble(); got != "" {
		t.Errorf("trouble when all has left: %q", got)
	}
}

// The last trouble stayed in the status for as long as the process ran.
func TestTroubleThatIsOverIsNotShown(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	w.s.starter.trial.say("TxnOffsetCommit: CONCURRENT_TRANSACTIONS")
	w.spooled(1, 0)
	w.run()
	if got := w.s.Status(w.now).Transaction.Detail; got != "" {
		t.Errorf("%q, and a transaction was committed since", got)
	}
}

// Kafka commits no offset for a topic without READ, and the transaction's number is one: as long as it went with that topic, nothing of any
// other topic was delivered.
func TestATopicWithoutReadDoesNotKeepOthersWaiting(t *testing.T) {
	for seed := range uint64(20) {
		version := int16(1 + seed%2)
		w := newWorld(t, seed, version, "a", "b")
		w.longest, w.unreadable = 900_000, "a"
		w.spooled(1, 0)
		for range 30 { // the first transaction has records of one topic alone
			w.step()
		}
		w.spooled(1, 1)
		w.slowly(1, func() bool { return w.settled[0]+w.settled[1] == 2 })
		if w.settled[1] != 1 || w.settled[0] != 1 {
			t.Errorf("seed %d: %v records were delivered, want those of both: the number goes with b", seed, w.settled)
		}
	}
}

// Each unit has records of a topic without READ and of one with it. The transaction's number was committed for the first of them alone, so
// none was ever delivered.
func TestUnitsGoWithTheNumberOnWhicheverOfTheirTopicsHasRead(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, int16(1+seed%2), "a", "b")
		w.longest, w.unreadable = 900_000, "a"
		w.spooled(1, 0, 1)
		w.spooled(1, 0, 1)
		w.slowly(1, func() bool { return w.settled[0]+w.settled[1] == 4 })
		if w.settled[0] != 2 || w.settled[1] != 2 {
			t.Errorf("seed %d: %v records were delivered, want 2 of each topic", seed, w.settled)
		}
	}
}

// A topic that is tried again after a refusal was "delivering" until the answer came, and healthy for the status' exit code.
func TestATopicIsInTroubleUntilARecordLeaves(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.longest, w.unreadable = 900_000, "a"
	w.spooled(1, 0)
	trouble := func() string { return w.s.Status(w.now).Topics[0].Trouble }
	w.slowly(1, func() bool { return trouble() != "" })
	for range 2000 {
		if !w.step() {
			w.now.Age += 20
			w.do(w.s.Tick(w.now))
		}
		if st := w.s.Status(w.now).Topics[0]; st.State != "waiting" || !strings.Contains(st.Trouble, "grant READ on topic a") {
			t.Fatalf("the topic is %s, trouble %q", st.State, st.Trouble)
		}
	}
	w.unreadable = ""
	w.run()
	if got := trouble(); got != "" {
		t.Errorf("trouble when all has left: %q", got)
	}
}

// A unit cannot be sent while one of its topics cannot. It was read again as soon as it had been read, all that time.
func TestAUnitIsReadAgainOnlyWhenItsOtherTopicCanBeWritten(t *testing.T) {
	w := newWorld(t, 1, 2, "a", "b")
	w.spooled(1, 0)
	w.spooled(1, 1)
	w.run()
	w.s.byTopic["b"].missing = 5 // a partition that the topic does not have
	w.spooled(1, 0, 1)
	for n := 0; w.step(); n++ {
		if n > 100 {
			t.Fatal("after 100 steps there is still something to do, and no time has passed")
		}
	}
	w.s.byTopic["b"].missing = -1
	w.run()
}

// A start takes up a decision whose run has dead letters in it: these were told as what they are.
func TestAStartTellsOnlyWhatItsTransactionCarriedAsDelivered(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.spooled(1, 0)
	w.spooled(1, 0)
	l := w.s.lanes[0]
	l.settled.Add(spool.Span{First: 1, End: 2})
	w.s.enter(w.now)
	w.s.runner.deliver(&spool.Decision{Cut: []spool.CutLane{{Lane: 0, Span: spool.Span{First: 0, End: 3}}}}, nil)
	want := []spool.Span{{First: 0, End: 1}, {First: 2, End: 3}}
	if d := w.s.eff.Deliver; len(d) != 1 || !slices.Equal(d[0].Spans, want) {
		t.Errorf("delivered %+v, want %v", d, want)
	}
}

// The first record waits: that others leave as dead letters does not count. And where the first one is another one all the time there
// is no trouble, however long there have been some.
func TestTroubleIsOfTheFirstRecordThatWaits(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	for range 10 {
		w.spooled(1, 0)
	}
	l := w.s.lanes[0]
	trouble := func() string { return w.s.Status(w.now).Topics[0].Trouble }
	at := func(ms int64) {
		w.now.Age += ms
		w.s.enter(w.now)
	}
	for k := spool.Index(1); k < 5; k++ {
		at(40_000)
		w.s.runner.leave(l, spool.Span{First: k, End: k + 1}, spool.OutcomeDeadLettered)
		if got := trouble(); got != "" {
			t.Errorf("trouble 0 s after the first one has left: %q", got)
		}
	}
	for k := spool.Index(6); k < 9; k++ {
		at(40_000)
		w.s.runner.leave(l, spool.Span{First: k, End: k + 1}, spool.OutcomeDeadLettered)
	}
	if got := trouble(); !strings.HasPrefix(got, "no record of the topic has left for 120 s") {
		t.Errorf("trouble after 120 s: %q", got)
	}
	at(1)
	w.s.markers.take(spool.Decision{Cut: []spool.CutLane{{Lane: 0, Span: spool.Span{First: 5, End: 6}}}}, newCut(), nil, false)
	if got := trouble(); got != "" {
		t.Errorf("trouble after a commit: %q", got)
	}
}
