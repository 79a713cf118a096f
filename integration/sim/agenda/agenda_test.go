package agenda_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spoold/spoold/integration/sim/agenda"
)

func TestThingsAreDoneInTheOrderOfTheirTimesAndThenOfTheirPuttingIn(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var a agenda.Agenda
		a.Set(1000)
		type thing struct {
			at    int64
			order int
		}
		var want, got []thing
		put := func() {
			ms := rng.Int64N(20) - 2 // what was due is done next, not before
			it := thing{a.Now() + max(ms, 0), len(want)}
			want = append(want, it)
			a.After(ms, func() {
				if a.Now() != it.at {
					t.Fatalf("seed %d: done at %d, due at %d", seed, a.Now(), it.at)
				}
				got = append(got, it)
			})
		}
		for range 50 {
			put()
			if rng.IntN(3) == 0 {
				a.Step()
			}
		}
		for a.Step() {
		}
		slices.SortStableFunc(want, func(x, y thing) int { return int(x.at - y.at) })
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: done %v, want %v", seed, got, want)
		}
	}
}

func TestWhatIsLateIsDoneAtTheTimeThatItIs(t *testing.T) {
	var a agenda.Agenda
	done := int64(-1)
	a.After(10, func() { done = a.Now() })
	a.Pass(50)
	if at, ok := a.Next(); !ok || at != 10 {
		t.Errorf("the next thing is due at %d (%v), want 10", at, ok)
	}
	a.Run(40)
	if done != 50 || a.Now() != 50 {
		t.Errorf("done at %d, now %d; time does not go back", done, a.Now())
	}
	if a.Step() {
		t.Error("a thing is done that nobody put in")
	}
}
