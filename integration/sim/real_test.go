package sim_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/sim/world"
)

var realFlag = flag.Int("sim.real", 20, "how many seeds with spool/bolt under every host")

// on is a seed's plan with spool/bolt under every host, or under none.
func on(seed uint64, real bool) *world.Plan {
	p := world.Draw(seed)
	for i := range p.Hosts {
		p.Hosts[i].Real = real
	}
	return p
}

func TestAHistoryIsTheSameOnSpoolBoltAsOnItsModel(t *testing.T) {
	var realTime, modelTime time.Duration
	came := map[string]int{}
	for seed := *fromFlag; seed < *fromFlag+uint64(*realFlag); seed++ {
		began := time.Now()
		got := world.Run(on(seed, true))
		realTime += time.Since(began)
		for what, n := range got.Disk {
			came[what] += n
		}
		began = time.Now()
		want := world.Run(on(seed, false))
		modelTime += time.Since(began)
		if a, b := fmt.Sprint(got.Violations), fmt.Sprint(want.Violations); a != b {
			t.Errorf("seed %d: with spool/bolt %v\nwithout it %v\n%v", seed, a, b, got.Tail[max(0, len(got.Tail)-1):])
		} else if len(got.Violations) > 0 {
			t.Errorf("seed %d: with spool/bolt as without it: %v", seed, a)
		}
		if got.Trace != want.Trace {
			t.Errorf("seed %d: its trace is another one with spool/bolt", seed)
		}
	}
	for _, what := range []string{"segment renamed", "remains carried", "segments unlinked", "start cut off", "meta page torn", "data pages torn", "killed amid writing"} {
		if came[what] == 0 {
			t.Errorf("no seed came by %q: the test proves less than it says", what)
		}
	}
	t.Logf("came to pass in the files: %v", came)
	t.Logf("%d seeds: %v each with spool/bolt, %v without", *realFlag, realTime/time.Duration(*realFlag), modelTime/time.Duration(*realFlag))
}

// Here nobody compares: what spool/bolt finds, reads and answers is all that a host has, and the laws judge.
func TestNoSeedBreaksALawOnSpoolBoltAlone(t *testing.T) {
	came := map[string]int{}
	for seed := *fromFlag; seed < *fromFlag+uint64(*realFlag); seed++ {
		p := world.Draw(seed).OnFiles(true)
		r := world.Run(p)
		for what, n := range r.Disk {
			came[what] += n
		}
		if len(r.Violations) > 0 {
			t.Errorf("seed %d: %v\n%v", seed, r.Violations, r.Tail)
		} else if again := world.Run(p); again.Trace != r.Trace {
			t.Errorf("seed %d: its trace is another one the second time", seed)
		}
	}
	for _, what := range []string{"segment renamed", "remains carried", "start cut off", "data pages torn"} {
		if came[what] == 0 {
			t.Errorf("no seed came by %q: the test proves less than it says", what)
		}
	}
}

// Spools that are full again and again: what is refused, and whether the room comes back.
func TestNoSeedBreaksALawOnSmallSpools(t *testing.T) {
	holds(t, func(h *world.Host) bool { return h.Alone && h.Piece == 0 }, "records refused", "no room ahead: no space left on device",
		"no room ahead: too many open files", "segments unlinked", "dead letters dropped by the operator", "dead letters dropped for others")
}

// Units that go to the disk in pieces, each in a commit of its own: none of it counts before the last commit, and all of it then.
func TestNoSeedBreaksALawOnStagedUnits(t *testing.T) {
	holds(t, func(h *world.Host) bool { return h.Piece > 0 }, "pieces of units", "units in several commits", "units aborted", "pieces of units refused")
}

// holds runs seeds with such hosts: none breaks a law, and all of what is named comes to pass in the files of some.
func holds(t *testing.T, such func(*world.Host) bool, named ...string) {
	t.Helper()
	came := map[string]int{}
	for seed, n := *fromFlag, 0; n < *realFlag/4; seed++ {
		p := world.Draw(seed)
		if !such(&p.Hosts[0]) {
			continue
		}
		n++
		r := world.Run(p)
		for what, k := range r.Disk {
			came[what] += k
		}
		if len(r.Violations) > 0 {
			t.Errorf("seed %d: %v\n%v", seed, r.Violations, r.Tail)
		} else if n <= 2 && world.Run(p).Trace != r.Trace {
			t.Errorf("seed %d: its trace is another one the second time", seed)
		}
	}
	for _, what := range named {
		if came[what] == 0 {
			t.Errorf("no seed came by %q: the test proves less than it says", what)
		}
	}
}
