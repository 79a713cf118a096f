package sim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/sim"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/world"
)

var (
	seedsFlag = flag.Int("sim.seeds", 200, "how many seeds TestNoSeedBreaksALaw runs")
	fromFlag  = flag.Uint64("sim.from", 1, "the first of them")
)

// ran is what became of each seed that a test has run: a plan gives the same trace each time
// (TestTheSamePlanGivesTheSameTrace), so that one run of it serves all tests.
var ran = map[uint64]*world.Result{}

// history is what becomes of a seed's plan, run once.
func history(seed uint64) *world.Result {
	r := ran[seed]
	if r == nil {
		r = world.Run(world.Draw(seed))
		ran[seed] = r
	}
	return r
}

// The same seeds each time; make sim-ci runs more, and fresh ones.
func TestNoSeedBreaksALaw(t *testing.T) {
	for seed := *fromFlag; seed < *fromFlag+uint64(*seedsFlag); seed++ {
		if r := history(seed); len(r.Violations) > 0 {
			t.Fatal(sim.Report(world.Draw(seed), r, sim.Again(seed)))
		}
	}
}

// Each plan in testdata broke a law once, before what it found was mended; its name says what that was.
func TestNoPlanThatOnceBrokeALawDoesSoNow(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no plans in testdata")
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := world.ReadPlan(raw)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if r := world.Run(p); len(r.Violations) > 0 {
			t.Errorf("%s: %s", file, sim.Report(p, r, "go run ./integration/sim/simulate -plan integration/sim/"+file+" -trace"))
		}
	}
}

// Without this nothing that a seed shows could be looked at again. A plan that was written and read is the same plan.
// make sim-ci asks for more seeds.
func TestTheSamePlanGivesTheSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*seedsFlag/10); seed++ {
		p := world.Draw(seed)
		first := history(seed)
		read, err := world.ReadPlan(p.JSON())
		if err != nil {
			t.Fatal(err)
		}
		for _, again := range []*world.Plan{p, world.Draw(seed), read} {
			if r := world.Run(again); r.Trace != first.Trace || r.Steps != first.Steps {
				t.Fatalf("seed %d: trace %x after %d steps, and %x after %d steps the second time", seed, first.Trace, first.Steps, r.Trace, r.Steps)
			}
		}
	}
}

// And with this it could not be noticed that nothing is random.
func TestOtherSeedsGiveOtherTraces(t *testing.T) {
	seen := map[uint64]uint64{}
	for seed := uint64(1); seed <= 60; seed++ {
		r := history(seed)
		if other, ok := seen[r.Trace]; ok {
			t.Fatalf("seeds %d and %d give the same trace", seed, other)
		}
		seen[r.Trace] = seed
	}
}

func TestHistoriesAreLongAndEveryKindOfFaultComesToPass(t *testing.T) {
	kinds := map[string]int{}
	whole := 0
	const seeds = 200
	for seed := uint64(1); seed <= seeds; seed++ {
		r := history(seed)
		if r.Whole() {
			whole++
		}
		for k, n := range r.Faults {
			kinds[k] += n
		}
	}
	if whole < seeds*4/5 {
		t.Errorf("only %d of %d histories have 200 records, 5 faults and a kill", whole, seeds)
	}
	for _, k := range world.Kinds() {
		if kinds[k] == 0 {
			t.Errorf("in %d histories there was never a %s", seeds, k)
		}
	}
}

// What makes a history long enough makes none too short, and touches none that is long by far.
// make sim-ci asks for more seeds.
func TestAskingForAWholeHistoryChangesOnlyTheShortOnes(t *testing.T) {
	short, mended := 0, 0
	for seed := uint64(1); seed <= uint64(*seedsFlag/4); seed++ {
		p := world.Draw(seed)
		whole := history(seed)
		p.Whole = false
		plain := world.Run(p)
		switch {
		case plain.Whole() && !whole.Whole(), plain.Whole() && plain.Records > 280 && plain.Trace != whole.Trace:
			t.Errorf("seed %d: a history of %d records and %d kills is another one, of %d and %d, if it is to be whole", seed, plain.Records, plain.Kills, whole.Records, whole.Kills)
		case plain.Whole():
		default:
			if short++; whole.Whole() {
				mended++
			}
		}
	}
	if mended == 0 || 2*mended < short {
		t.Errorf("%d of %d histories that were too short are whole, want most", mended, short)
	}
}

// A plan whose faults call for parking is one that breaks a law if parking is not allowed: so a smaller one must be found.
func TestAPlanThatBreaksALawIsMadeSmaller(t *testing.T) {
	for seed := uint64(1); ; seed++ {
		if len(history(seed).Parks) == 0 {
			continue
		}
		p := world.Draw(seed)
		p.Allowed = nil
		r := world.Run(p)
		if len(r.Violations) == 0 || r.Violations[0].Law != "P9" {
			t.Fatalf("seed %d: parking is not allowed, and found is %v", seed, r.Violations)
		}
		small := world.Shrink(p, "P9", 300)
		if len(small.Faults) >= len(p.Faults) {
			t.Errorf("seed %d: no smaller plan than one with %d faults was found", seed, len(p.Faults))
		}
		if r = world.Run(small); len(r.Violations) == 0 || r.Violations[0].Law != "P9" {
			t.Errorf("seed %d: the smaller plan breaks %v", seed, r.Violations)
		}
		text := sim.Report(small, r, sim.Again(seed))
		for _, want := range []string{fmt.Sprintf("seed %d breaks a law at step ", seed), "P9: host ", "is parked", "process 1 ends", fmt.Sprintf("simulate -seed %d -trace", seed)} {
			if !strings.Contains(text, want) {
				t.Errorf("the report lacks %q:\n%s", want, text)
			}
		}
		return
	}
}

func TestTheReportNamesAllLawsThatAreBroken(t *testing.T) {
	r := &world.Result{Steps: 7, Ms: 12, Violations: []check.Violation{{Law: "P1", Text: "one is lost"}, {Law: "P3", Text: "two are swapped"}}, Tail: []string{"the end"}}
	want := "seed 5 breaks a law at step 7 (12 ms of simulated time)\n  P1: one is lost\n  P3: two are swapped\nthe last events (ms, what):\n  the end\nagain: x\n"
	if got := sim.Report(&world.Plan{Seed: 5}, r, "x"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
