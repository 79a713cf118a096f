package loop

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

func TestWaitingRecordsAreLookedForOftenEnough(t *testing.T) {
	for _, tt := range []struct{ timeout, maxAge, want int64 }{
		{0, 0, 50}, {1000, 0, 50}, {0, 1000, 50}, {2000, 0, 100}, {0, 2000, 100}, {2000, 4000, 100}, {4000, 2000, 100},
		{100_000, 0, 5000}, {1_000_000, 0, 5000},
	} {
		x := expiry{timeout: tt.timeout, maxAge: tt.maxAge}
		if got := x.interval(); got != tt.want {
			t.Errorf("timeout %d, age %d: every %d ms, want %d", tt.timeout, tt.maxAge, got, tt.want)
		}
		x.records(7)
		if want := 7 + tt.want; tt.timeout+tt.maxAge == 0 && x.at != 0 || tt.timeout+tt.maxAge > 0 && x.at != want {
			t.Errorf("timeout %d, age %d: next look at %d, want %d, or none", tt.timeout, tt.maxAge, x.at, want)
		}
		if at := x.at; at > 0 {
			if x.records(9); x.at != at {
				t.Errorf("a later record puts the look off to %d", x.at)
			}
		}
	}
}

// A record never leaves too early: it may have come as late as all that its mark covers.
func TestARecordExpiresNotBeforeItsMarkIsOld(t *testing.T) {
	l := &laneProgress{every: 100, marks: []mark{{end: 5, age: 1000}, {end: 9, age: 1100}}}
	for before, want := range map[int64]spool.Index{1099: 0, 1100: 5, 1199: 5, 1200: 9, 9999: 9} {
		if got := l.expired(before, 0); got != want {
			t.Errorf("before %d: up to %d, want %d", before, got, want)
		}
	}
	if got := l.expired(1299, 1200); got != 0 {
		t.Errorf("what an earlier process spooled is as old as this one: up to %d, want 0", got)
	}
	if got := l.expired(1300, 1200); got != 9 {
		t.Errorf("up to %d, want 9", got)
	}
}

func TestAgesOfALaneAreKeptInAFewMarks(t *testing.T) {
	l := &laneProgress{}
	note := func(end spool.Index, age int64) { l.end = end; l.mark(age) }
	note(1, 1000)
	note(2, 1099) // within 100 ms
	note(3, 1100)
	if want := []mark{{2, 1000}, {3, 1100}}; !slices.Equal(l.marks, want) || l.every != 100 {
		t.Errorf("marks %v, each of %d ms, want %v", l.marks, l.every, want)
	}
	if age, ok := l.oldest(); age != 1000 || !ok {
		t.Errorf("the oldest came at %d, %v", age, ok)
	}
	l.gone = 2
	if age, ok := l.oldest(); age != 1100 || !ok || len(l.marks) != 1 {
		t.Errorf("the oldest came at %d, %v, after the first two have left", age, ok)
	}
	l.gone = 3
	if _, ok := l.oldest(); ok {
		t.Error("one waits, and all have left")
	}
	note(4, 1150) // it begins anew: what left says nothing of it
	if want := []mark{{4, 1150}}; !slices.Equal(l.marks, want) {
		t.Errorf("marks %v, want %v", l.marks, want)
	}
	l = &laneProgress{}
	for n := range int64(maxMarks + 1) {
		note(spool.Index(n+1), 100*n)
	}
	if len(l.marks) != maxMarks/2+1 || l.every != 200 || l.marks[0] != (mark{2, 0}) || l.marks[1] != (mark{4, 200}) || l.marks[maxMarks/2] != (mark{maxMarks + 1, 100 * maxMarks}) {
		t.Errorf("%d marks, each of %d ms: %v", len(l.marks), l.every, l.marks)
	}
}

func TestAgesAreThoseOfWhatIsPendingOnDisk(t *testing.T) {
	p := newProgress(&spool.Recovered{}, func(spool.LaneID) spool.Index { return 0 })
	p.committed(&spool.Committed{Sections: []spool.Section{{Lane: 0, Spans: []spool.Span{{First: 0, End: 3}}}}}, 100)
	p.committed(&spool.Committed{Sections: []spool.Section{{Lane: 1, Spans: []spool.Span{{First: 0, End: 2}, {First: 4, End: 5}}}}}, 300)
	if p.accepted != 6 || p.lanes[1].end != 5 {
		t.Errorf("%d records accepted, the lane ends at %d; want 6 and 5", p.accepted, p.lanes[1].end)
	}
	stats := make([]bolt.LaneStats, 3)
	for i := range stats[:2] {
		stats[i].Counters.Accepted = 3
	}
	if ages, oldest := p.ages(1000, stats); !slices.Equal(ages, []int64{900, 700, 0}) || oldest != 900 {
		t.Errorf("ages %v, the oldest %d; want 900, 700 and none", ages, oldest)
	}
	if ages, _ := p.ages(100, stats); ages[0] != 1 {
		t.Errorf("age %d of what came now, want 1", ages[0])
	}
	stats[0].Counters.Acked = 3
	if ages, oldest := p.ages(1000, stats); ages[0] != 0 || oldest != 700 {
		t.Errorf("ages %v, the oldest %d, with the first lane empty", ages, oldest)
	}
}

func TestAFlushWaitsForWhatWasThere(t *testing.T) {
	low := spool.Index(0)
	p := newProgress(&spool.Recovered{}, func(spool.LaneID) spool.Index { return low })
	w, other := &flushWaiter{accepted: 3, done: make(chan struct{})}, &flushWaiter{accepted: 9, done: make(chan struct{})}
	p.waiters = []*flushWaiter{w, other}
	if p.check() || w.ends != nil {
		t.Error("it hurries before what it waits for has come")
	}
	p.committed(&spool.Committed{Sections: []spool.Section{{Spans: []spool.Span{{First: 0, End: 3}}}}}, 100)
	if !p.check() || len(w.ends) != 1 {
		t.Errorf("it does not hurry for %v", w.ends)
	}
	if p.check() {
		t.Error("it hurries twice")
	}
	low = 2
	if p.check(); len(p.waiters) != 2 {
		t.Error("over with one record left")
	}
	low = 3
	if p.check(); len(p.waiters) != 1 || p.waiters[0] != other {
		t.Errorf("%d wait, want the other one", len(p.waiters))
	}
	p.drop(w)
	if p.drop(other); len(p.waiters) != 0 {
		t.Error("one that has given up still waits")
	}
}

func TestTimeoutsOfConnectingDoubleUpToTheirLimit(t *testing.T) {
	ls := openLinks(Options{ConnectTimeout: time.Second, ConnectTimeoutMax: 7 * time.Second})
	for failures, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 3: 7 * time.Second, 90: 7 * time.Second} {
		if got := ls.connectTimeout(failures); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
	}
	ls.opt.ConnectTimeoutMax = 2 * time.Second
	if got := ls.connectTimeout(1); got != 2*time.Second {
		t.Errorf("%v, want the limit", got)
	}
}

// Changed credentials or certificates are tried within half a second.
func TestAPauseEndsEarlyWhenCredentialsChange(t *testing.T) {
	for changed, want := range map[bool]time.Duration{true: 500 * time.Millisecond, false: 1200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			var stamp atomic.Uint64
			stamp.Store(1)
			ls := openLinks(Options{Stamp: stamp.Load})
			began := time.Now()
			if changed {
				time.AfterFunc(100*time.Millisecond, func() { stamp.Store(2) })
			}
			if err := ls.sleepUntilChange(1200, 1); err != nil || time.Since(began) != want {
				t.Errorf("changed %v: %v after %v, want %v", changed, err, time.Since(began), want)
			}
			ls.cancel()
			if err := ls.sleepUntilChange(1200, stamp.Load()); err == nil || time.Since(began) != want {
				t.Error("the loop has ended, and it sleeps")
			}
		})
	}
}

func TestAnyBrokerIsOneThatIsNotThrottled(t *testing.T) {
	ls := openLinks(Options{}, 1, 2)
	ls.open[1].throttled = ls.now.Age // over
	ls.open[2].outstanding = 1
	for range 20 { // in whatever order they are looked at
		if k := ls.anyLink(); k.broker != 1 {
			t.Fatalf("broker %d, want 1: its throttle is over now", k.broker)
		}
	}
	ls.open[1].throttled++
	for range 20 {
		if k := ls.anyLink(); k.broker != 2 {
			t.Fatalf("broker %d, want 2: it takes requests", k.broker)
		}
	}
}

func TestBootstrapServersAreTriedInTurn(t *testing.T) {
	ls := openLinks(Options{Servers: []string{"a", "b", "c"}})
	ls.cancel() // nothing is dialled
	t.Cleanup(ls.close)
	var first []int
	for range 4 {
		first = append(first, ls.seed)
		ls.dialSeeds()
	}
	if !slices.Equal(first, []int{0, 1, 2, 0}) {
		t.Errorf("they begin with %v", first)
	}
	one := dialFaults{errors.New("a")}
	if one.all().Error() != "a" || append(one, errors.New("b")).all().Error() != "a; b" {
		t.Errorf("faults %v", one.all())
	}
}

func TestAnyBrokerIsTheSameInWhateverOrderTheyAreLookedAt(t *testing.T) {
	for _, tt := range []struct {
		name        string
		outstanding [3]int
		answered    [3]int64
		want        int32
	}{
		{"all alike: the highest number", [3]int{}, [3]int64{}, 3},
		{"the least is asked of it", [3]int{0, 1, 2}, [3]int64{1, 2, 3}, 1},
		{"it answered last", [3]int{1, 1, 1}, [3]int64{7, 5, 6}, 1},
		{"two of them did", [3]int{1, 1, 1}, [3]int64{7, 7, 6}, 2},
	} {
		ls := openLinks(Options{}, 1, 2, 3)
		for i := range int32(3) {
			ls.open[i+1].outstanding, ls.open[i+1].answeredAt = tt.outstanding[i], tt.answered[i]
		}
		for range 30 {
			if k := ls.anyLink(); k.broker != tt.want {
				t.Fatalf("%s: broker %d, want %d", tt.name, k.broker, tt.want)
			}
		}
	}
}
