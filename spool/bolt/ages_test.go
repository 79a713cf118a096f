package bolt

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// Ages count on the spool's clock: over restarts of the process, not while a reboot's time is unknown, never by the wall clock,
// and what was spooled before they were kept counts from the start at which that began.
func TestAgesAreKeptOverRestartsAndByNoWallClock(t *testing.T) {
	var boot, wall atomic.Int64
	boot.Store(5_000_000)
	o := tinyOptions(t.TempDir())
	o.Faults = &Faults{Boot: boot.Load}
	o.Now = func() time.Time { return time.UnixMilli(wall.Load()) }
	open := func(every time.Duration) *loopOf {
		o.AgeEvery = every
		l, _ := openLoop(t, o)
		return &loopOf{l.s, l.close}
	}
	put := func(s *Store) {
		if err := mustAppend(t, s, "a", "v").Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	l := open(0)
	put(l.s) // 0: nothing is kept yet
	l.close()
	boot.Add(1000)
	l = open(100 * time.Millisecond)
	first := l.s.Now().Age
	boot.Add(200)
	put(l.s) // 1
	second := l.s.Now().Age
	boot.Add(50)
	put(l.s) // 2, under the same mark
	wall.Add(1 << 50)
	boot.Add(500)
	put(l.s) // 3
	third := l.s.Now().Age
	check := func(s *Store) {
		t.Helper()
		for _, x := range []struct {
			before int64
			end    spool.Index
		}{{first + 99, 0}, {first + 100, 1}, {second + 99, 1}, {second + 100, 3}, {third + 99, 3}, {third + 100, 4}} {
			if got := s.Aged(0, x.before); got != x.end {
				t.Errorf("Aged(%d) = %d, want %d (marks after %d, %d, %d)", x.before, got, x.end, first, second, third)
			}
		}
	}
	check(l.s)
	l.close()
	boot.Add(10_000)
	l = open(time.Second) // another distance changes no mark
	check(l.s)
	if got := l.s.Now().Age - third; got < 10_000 {
		t.Errorf("the clock went on by %d ms over the restart", got)
	}
	l.close()
	l = open(0) // not kept any more
	if got := l.s.Aged(0, 1<<60); got != 0 {
		t.Errorf("Aged = %d", got)
	}
	l.close()
}

type loopOf struct {
	s     *Store
	close func()
}

func TestManyAgesBecomeFewerAndNeverTooOld(t *testing.T) {
	st := spool.NewState()
	var out spool.Changes
	if err := st.AddLane(spool.NewLane{ID: 0, Topic: "a"}, &out); err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for i := range n {
		st.Append(0, 1)
		st.MarkAge(0, spool.Index(i), int64(10*i), 5)
	}
	for before := range int64(10 * n) {
		if end := st.Aged(0, before); end > 0 && int64(10*(end-1))+5 > before {
			t.Fatalf("at %d entry %d is too old, which came at %d", before, end-1, 10*(end-1))
		}
	}
	if end := st.Aged(0, 10*n); end != n {
		t.Errorf("at the end %d are old", end)
	}
}
