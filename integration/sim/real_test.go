package sim_test

import (
	"flag"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/sim/world"
)

var realFlag = flag.Int("sim.real", 20, "how many seeds with spool/bolt under every host")

// real is a seed's plan with spool/bolt under every host.
func real(seed uint64) *world.Plan {
	p := world.Draw(seed)
	for i := range p.Hosts {
		p.Hosts[i].Real = true
	}
	return p
}

func TestAHistoryIsTheSameOnSpoolBoltAsOnItsModel(t *testing.T) {
	var realTime, modelTime time.Duration
	for seed := *fromFlag; seed < *fromFlag+uint64(*realFlag); seed++ {
		began := time.Now()
		got := world.Run(real(seed))
		realTime += time.Since(began)
		for _, v := range got.Violations {
			t.Errorf("seed %d: %v", seed, v)
		}
		if len(got.Violations) > 0 {
			t.Log(got.Tail[len(got.Tail)-1])
			continue
		}
		began = time.Now()
		want := world.Run(world.Draw(seed))
		modelTime += time.Since(began)
		if got.Trace != want.Trace {
			t.Errorf("seed %d: its trace is another one with spool/bolt", seed)
		}
	}
	t.Logf("%d seeds: %v each with spool/bolt, %v without", *realFlag, realTime/time.Duration(*realFlag), modelTime/time.Duration(*realFlag))
}
