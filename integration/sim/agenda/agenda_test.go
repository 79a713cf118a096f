package agenda

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestThingsAreDoneInTheOrderOfTheirTimesAndThenOfTheirMaking(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var a Agenda
		a.Set(1000)
		type thing struct{ at, made int64 }
		var want, got []thing
		n := int64(0)
		var put func(ms int64)
		put = func(ms int64) {
			n++
			th := thing{a.Now() + ms, n}
			want = append(want, th)
			a.After(ms, func() {
				if a.Now() != th.at {
					t.Fatalf("done at %d, was put there for %d", a.Now(), th.at)
				}
				got = append(got, th)
				if rng.IntN(3) == 0 {
					put(rng.Int64N(20))
				}
			})
		}
		for range 1 + rng.IntN(60) {
			put(rng.Int64N(20))
		}
		for a.Step() {
		}
		slices.SortStableFunc(want, func(x, y thing) int { return int(x.at - y.at) })
		if !slices.Equal(got, want) {
			t.Fatalf("done in the order %v, want %v", got, want)
		}
	}
}

func TestWhatTimeHasPassedOverIsLateAndInOrder(t *testing.T) {
	var a Agenda
	var got []int
	a.After(5, func() { got = append(got, 5) })
	a.After(3, func() { got = append(got, 3) })
	a.Pass(10)
	a.After(0, func() { got = append(got, 10) })
	a.Run(20)
	if !slices.Equal(got, []int{3, 5, 10}) || a.Now() != 20 {
		t.Errorf("done %v at %d, want 3, 5 and 10, and 20", got, a.Now())
	}
	if _, ok := a.Next(); ok || a.Step() {
		t.Error("there is something left")
	}
}
