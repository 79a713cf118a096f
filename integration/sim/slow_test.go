package sim_test

import (
	"os"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/sim/world"
)

func TestSlow(t *testing.T) {
	if os.Getenv("SLOW") == "" {
		return
	}
	for seed := *fromFlag; seed < *fromFlag+uint64(*seedsFlag); seed++ {
		b := time.Now()
		r := world.Run(world.Draw(seed))
		if d := time.Since(b); d > 50*time.Millisecond {
			t.Logf("seed %d %v steps %d ms %d viol %d", seed, d, r.Steps, r.Ms, len(r.Violations))
		}
	}
}
