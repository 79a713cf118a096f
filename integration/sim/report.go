package sim

import (
	"fmt"
	"strings"

	"github.com/spoold/spoold/integration/sim/world"
)

// Report says what a run broke: seed and step, the laws, the last events, and the command that does it again.
func Report(p *world.Plan, r *world.Result, again string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d breaks a law at step %d (%d ms of simulated time)\n", p.Seed, r.Steps, r.Ms)
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  %v\n", v)
	}
	fmt.Fprintf(&b, "the last events (ms, what):\n")
	for _, l := range r.Tail {
		fmt.Fprintf(&b, "  %s\n", l)
	}
	fmt.Fprintf(&b, "again: %s\n", again)
	return b.String()
}

// Again is the command that runs a seed once more, with its whole trace.
func Again(seed uint64) string {
	return fmt.Sprintf("go run ./integration/sim/simulate -seed %d -trace", seed)
}
