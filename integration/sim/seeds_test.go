package sim_test

import (
	"flag"
	"testing"

	"github.com/spoold/spoold/integration/sim/world"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "run this one seed")
	seedsFlag = flag.Int("sim.seeds", 300, "how many seeds")
	fromFlag  = flag.Uint64("sim.from", 1, "the first of them")
)

func TestSmoke(t *testing.T) {
	if *seedFlag != 0 {
		r := world.RunTraced(world.Draw(*seedFlag), func(l string) { t.Log(l) })
		t.Logf("%d records, faults %v, %d kills, %d steps, %d ms, parks %v, resolved %d", r.Records, r.Faults, r.Kills, r.Steps, r.Ms, r.Parks, r.Resolved)
		for _, v := range r.Violations {
			t.Error(v)
		}
		if len(r.Violations) > 0 {
			t.Log(r.Tail[len(r.Tail)-1])
		}
		return
	}
	bad := 0
	for seed := *fromFlag; seed < *fromFlag+uint64(*seedsFlag); seed++ {
		r := world.Run(world.Draw(seed))
		if len(r.Violations) > 0 {
			bad++
			t.Errorf("seed %d: %v", seed, r.Violations)
			if bad > 40 {
				return
			}
		}
	}
}
