//go:build crash

package crashstates

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/proof"
)

// bites has the rig look at disks and caches that must be found out: else it would find nothing at all.
func (c *campaign) bites(run *proof.Run) {
	c.t.Helper()
	x := c.record(Script{Seed: c.seed}, nil, nil, Phase{Lives: "30k,20"})
	defer func() { c.forget(x, Mixed, Lies{}, false) }()
	n, _, err := x.Count(Mixed)
	if err != nil {
		c.t.Fatal(err)
	}
	for name, lies := range map[string]Lies{"a disk that ignores syncs of files": {FileSync: true}, "a disk that ignores syncs of the directory": {DirSync: true}} {
		c.bite(run, name, c.check(x, Mixed, min(1, 400/float64(n)), lies))
	}
	warm := newResult()
	for when := 1; when <= 4; when++ {
		if x := c.ended("fdatasync:error=EIO", when, true, 0); x != nil {
			warm.add(c.check(x, MixedAfter, 1, Lies{}))
			c.forget(x, MixedAfter, Lies{}, false)
		}
	}
	c.bite(run, "a start after a failed sync that reads what the page cache holds", warm)
}

func (c *campaign) bite(run *proof.Run, name string, r *Result) {
	c.t.Helper()
	c.t.Logf("%s: %d of %d states found out", name, r.Bad, r.States)
	run.Notes = append(run.Notes, fmt.Sprintf("The rig bites: %s is found out in %d of %d states.", name, r.Bad, r.States))
	if r.Bad == 0 {
		c.t.Errorf("%s was not seen", name)
	}
}

func TestStateThatKillsTheCheckIsNamed(t *testing.T) {
	r := newRig(t)
	c := r.record(Script{Scene: "a spool is made"}, nil, nil, Phase{Lives: "0"})
	dir, _ := scratch(t)
	x, err := Job{Case: c.At, Plan: Exhaustive, Share: 1, Die: 17, Scratch: dir}.Run(t.Context(), r.program)
	if err != nil {
		t.Fatal(err)
	}
	if x.Bad != 1 || len(x.Failed) != 1 || !strings.Contains(x.Failed[0], "state 17 killed the process: signal: killed") {
		t.Errorf("%d violations: %q", x.Bad, x.Failed)
	}
}

// TestStateOfAKeptCase repeats one state of a case that a failure has kept.
func TestStateOfAKeptCase(t *testing.T) {
	dir := os.Getenv("CRASH_CASE")
	if dir == "" {
		return // there is nothing to repeat
	}
	plan, lies, err := keptPlan(dir)
	if err != nil {
		t.Fatal(err)
	}
	scratch, _ := scratch(t)
	j := Job{Case: dir, Plan: plan, Lies: lies, Only: []int{int(proof.Setting(t, "CRASH_STATE", 0))}, Scratch: scratch}
	r, err := j.Run(t.Context(), self(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Tells {
		t.Log(s)
	}
	for _, f := range r.Failed {
		t.Error(f)
	}
}
