//go:build crash

package crashstates

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/proof"
)

const what = `The real spool/bolt works under strace, through lives that end by SIGKILL and by syncs that fail. A model of the disk
makes of its trace what a power cut may leave, sector by sector and name by name, and the real bolt.Open opens that. A violation:
it does not open; it is not the state after a step that had begun, or it is one before the last step that callers were
told of; a record differs in a byte; counters, settled entries, notes, seals, dead letters or idempotency keys differ; the incarnation goes
back; a file is left that is on no list. One state in four is worked with, and opened again.`

var notCovered = []string{
	"Crash states: what a file system does to its own structures (the model keeps each synced name and byte, and assumes sectors of 512 bytes; tears inside one are drawn, at multiples of 8 bytes).",
	"Crash states: a sync of a directory that fails is taken to be made good by the next one, as in a journal.",
	"Crash states: where more changes wait than are enumerated, states are drawn.",
	"Crash states: segments are small (8 to 48 KB) and grow by 16 or 64 KB, not 16 MB.",
}

// campaign is one run over many cases.
type campaign struct {
	*rig
	seed  uint64
	count int // of states
	sum   *Result
	began time.Time
	said  time.Time

	scenes, sceneStates, workloads, afterwards int
	failed, killed, killedInSync               int // lives, by how they ended
}

func begin(t *testing.T, unset uint64) *campaign {
	t.Helper()
	c := &campaign{rig: newRig(t), seed: proof.Setting(t, "CRASH_SEED", rand.Uint64()), count: int(proof.Setting(t, "CRASH_STATES", unset)), sum: newResult(), began: time.Now(), said: time.Now()}
	t.Logf("seed %d; another run like it: CRASH_SEED=%d CRASH_STATES=%d go test -tags crash -count=1 -v -timeout 0 ./integration/crashstates -run %s", c.seed, c.seed, c.count, t.Name())
	return c
}

// take checks a case's states, of the last case only as many as are wanted, and forgets it.
func (c *campaign) take(x *Case, plan Plan) {
	c.t.Helper()
	share := 1.0
	if left := c.count - c.sum.States; left < 20_000 && !plan.All {
		n, _, err := x.Count(plan)
		if err != nil {
			c.t.Fatal(err)
		}
		share = min(1, float64(left+50)/float64(n))
	}
	r := c.check(x, plan, share, Lies{})
	if r.Bad > 0 {
		c.t.Errorf("found after about %d states", c.sum.States+workers*r.First)
	}
	c.sum.add(r)
	c.ends(x)
	for i, f := range r.Failed {
		if i < 3 {
			c.t.Errorf("%+v: %.3000s", x.Script, f)
		}
	}
	c.forget(x, plan, Lies{}, r.Bad > 0)
	if time.Since(c.said) > 10*time.Second {
		c.said = time.Now()
		spent := time.Since(c.began)
		left := time.Duration(float64(spent) * float64(c.count-c.sum.States) / float64(c.sum.States))
		c.t.Logf("%s of %s states, %.0f a second, %d violations; about %s left", proof.Thousands(c.sum.States), proof.Thousands(c.count),
			float64(c.sum.States)/spent.Seconds(), c.sum.Bad, max(0, left).Round(time.Second))
	}
}

// ends counts how lives have ended.
func (c *campaign) ends(x *Case) {
	for i := range x.Events {
		switch e := &x.Events[i]; {
		case e.Kind == FailedSync:
			c.failed++
		case e.Kind == Sync && e.End == never:
			c.killedInSync++
		}
	}
	for _, p := range x.Phases {
		c.killed += strings.Count(p.Lives, "k")
	}
}

func (c *campaign) over() bool { return c.t.Failed() || c.sum.Bad > 0 || c.sum.States >= c.count }

// The promise on a disk that keeps its own.
func TestWhatAPowerCutLeavesOpensWithEverythingThatWasTold(t *testing.T) {
	c := begin(t, 100_000)
	run := proof.Begin("crash-states", "Crash states", fmt.Sprintf("CRASH_SEED=%d make states STATES=%d", c.seed, c.count))
	for _, name := range slices.Sorted(maps.Keys(scenes)) {
		for size := range uint64(sceneSizes) {
			if !t.Failed() {
				c.scene(name, size)
			}
		}
	}
	for _, fault := range []string{"fdatasync:error=EIO", "fsync:error=EIO", "fdatasync:signal=KILL", "fsync:signal=KILL"} {
		for when := 1; when <= 4 && !t.Failed(); when++ {
			c.endedScene(fault, when)
		}
	}
	for round := uint64(0); !c.over(); round++ {
		c.workload(c.seed + round)
	}
	c.report(run)
	if t.Failed() {
		return
	}
	c.bites(run)
	if err := run.Keep(); err != nil {
		t.Fatal(err)
	}
}

// scene makes every state of a small workload, and of a start from one of them.
func (c *campaign) scene(name string, size uint64) {
	c.t.Helper()
	s, script := scenes[name], Script{Seed: size, Scene: name}
	var before map[string]Image
	var marks []string
	if s.before != "" {
		before, marks = c.prepare(script, s.before)
	}
	x := c.little(Exhaustive, func() *Case {
		x := c.record(script, before, marks, Phase{Lives: s.lives})
		for again := 0; again < 20 && !x.has(s.needs); again++ { // what is done in the background may come too late
			c.forget(x, Exhaustive, Lies{}, false)
			x = c.record(script, before, marks, Phase{Lives: s.lives})
		}
		return x
	})
	if !x.has(s.needs) {
		c.t.Errorf("%q has nothing of what it is made for", name)
	}
	made := c.sum.States
	n, _, err := x.Count(Exhaustive)
	if err != nil {
		c.t.Fatalf("%q: %v", name, err)
	}
	rng := rand.New(rand.NewPCG(c.seed, size))
	state, told, err := x.State(Exhaustive, rng.IntN(n))
	if err != nil {
		c.t.Fatal(err)
	}
	c.take(x, Exhaustive)
	c.scenes++
	if !c.over() {
		c.take(c.little(Exhaustive, func() *Case { return c.record(script, state, told, Phase{Lives: "0"}) }), Exhaustive)
		c.scenes++
	}
	c.sceneStates += c.sum.States - made
}

// How many states a small workload is to have, and how many it may have where recording it again makes no fewer: a kill that
// leaves a temporary file torn has some 80,000.
const littleStates, mostStates = 20_000, 200_000

// little records until every state can be made, and they are few: on a busy machine more waits at a time now and then.
func (c *campaign) little(plan Plan, record func() *Case) *Case {
	c.t.Helper()
	for again := 0; ; again++ {
		x := record()
		if x == nil {
			return nil
		}
		n, _, err := x.Count(plan)
		switch {
		case err == nil && (n <= littleStates || again >= 5 && n <= mostStates):
			return x
		case err != nil && !errors.Is(err, errTooMany):
			c.t.Fatal(err)
		case again == 20:
			c.t.Fatalf("recorded %d times: %d states, %v", again+1, n, err)
		}
		c.forget(x, plan, Lies{}, false)
	}
}

// endedScene makes every state of what follows on a sync that fails, or is met by SIGKILL, in a small workload.
func (c *campaign) endedScene(fault string, when int) {
	c.t.Helper()
	made := c.sum.States
	seeds := uint64(2)
	if strings.HasSuffix(fault, "KILL") {
		seeds = 1 // nothing is lost that a seed could choose from
	}
	for seed := range seeds {
		if x := c.little(ExhaustiveAfter, func() *Case { return c.ended(fault, when, false, c.seed+seed) }); x != nil {
			c.take(x, ExhaustiveAfter)
			c.scenes++
		}
	}
	c.sceneStates += c.sum.States - made
}

// ended records a small workload that a fault ends at one of its syncs, and a life after it; nil: it makes no so many.
func (c *campaign) ended(fault string, when int, warm bool, seed uint64) *Case {
	c.t.Helper()
	script := Script{Seed: uint64(when % 2), Scene: "the first records"}
	before, marks := c.prepare(script, "1")
	life := "3e"
	if strings.HasSuffix(fault, "KILL") {
		life = "3k"
	}
	x, err := c.try(script, before, marks, Phase{Lives: life, Inject: fmt.Sprintf("%s:when=%d+", fault, when)}, Phase{Lives: "2", Seed: seed, Warm: warm})
	if errors.Is(err, ErrNothingFailed) {
		return nil
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.ContainsFunc(x.Events, func(e Event) bool { return e.Kind == FailedSync || e.Kind == Sync && e.End == never }) {
		c.forget(x, ExhaustiveAfter, Lies{}, false)
		return nil
	}
	return x
}

// has reports whether the trace has an event of each kind.
func (c *Case) has(kinds []Kind) bool {
	return !slices.ContainsFunc(kinds, func(k Kind) bool {
		return !slices.ContainsFunc(c.Events, func(e Event) bool { return e.Kind == k })
	})
}

// workload records a workload and cuts the power; then again, while a start recovers or a little later; and it has
// syncs fail, and cuts the power after that.
func (c *campaign) workload(seed uint64) {
	c.t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	script := Script{Seed: seed}
	var phases []Phase
	for range 2 { // a kill anywhere, or one that meets a sync: then what was written is there to be read, and not safe
		p := Phase{Lives: "30k"}
		if rng.IntN(3) > 0 {
			p.Inject = fmt.Sprintf("fdatasync:signal=KILL:when=%d", 1+rng.IntN(50))
		}
		phases = append(phases, p)
	}
	first := c.record(script, nil, nil, append(phases, Phase{Lives: "20"})...)
	n, _, err := first.Count(Mixed)
	if err != nil {
		c.t.Fatal(err)
	}
	type cut struct {
		state map[string]Image
		told  []string
	}
	var cuts []cut
	for range 3 {
		state, told, err := first.State(Mixed, rng.IntN(n))
		if err != nil {
			c.t.Fatal(err)
		}
		cuts = append(cuts, cut{state, told})
	}
	c.workloads++
	c.take(first, Mixed)
	for _, x := range cuts {
		if !c.over() {
			c.take(c.record(script, x.state, x.told, Phase{Lives: "3k,4"}), Mixed)
			c.afterwards++
		}
	}
	if !c.over() {
		c.take(c.failing(script, rng), Mixed)
	}
}

// failing records lives of which all but the last end by a sync that fails.
func (c *campaign) failing(script Script, rng *rand.Rand) *Case {
	c.t.Helper()
	for most, tries := 12, 0; ; most, tries = max(1, most/2), tries+1 {
		if tries == 50 {
			c.t.Fatal("in 50 workloads no sync that failed has ended a life")
		}
		var phases []Phase
		for range 1 + rng.IntN(2) {
			call := []string{"fdatasync", "fdatasync", "fsync"}[rng.IntN(3)]
			phases = append(phases, Phase{Lives: "15e", Inject: fmt.Sprintf("%s:error=EIO:when=%d+", call, 1+rng.IntN(most)), Seed: rng.Uint64()})
		}
		phases = append(phases, Phase{Lives: "8", Seed: rng.Uint64()})
		x, err := c.try(script, nil, nil, phases...)
		if err == nil {
			return x
		}
		if !errors.Is(err, ErrNothingFailed) {
			c.t.Fatal(err)
		}
	}
}

// report tells what was found.
func (c *campaign) report(run *proof.Run) {
	c.t.Helper()
	r := c.sum
	c.t.Logf("%d states in %.1f s: %.0f a second, %.2f ms of a core each; %d violations", r.States, r.Took.Seconds(), float64(r.States)/r.Took.Seconds(),
		r.CPU.Seconds()*1000/float64(max(1, r.States)), r.Bad)
	run.Violations = r.Bad
	run.What = what
	run.NotCovered = notCovered
	run.Notes = append(run.Notes, fmt.Sprintf("Every state was made of: %s; each with records of %d sizes, with a start from one of its states; and of a start after each of the first syncs had failed, or was met by SIGKILL.",
		strings.Join(slices.Sorted(maps.Keys(scenes)), ", "), sceneSizes))
	run.Say("states a second", fmt.Sprintf("%.0f", float64(r.States)/r.Took.Seconds()))
	run.Count("states opened and compared", r.States)
	run.Count("scenes of which every state was made", c.scenes)
	run.Count("their states", c.sceneStates)
	run.Count("workloads at random", c.workloads)
	run.Count("second power cuts, during what followed on the first", c.afterwards)
	for _, k := range slices.Sorted(maps.Keys(r.How)) {
		run.Count("states: "+k, r.How[k])
	}
	run.Inject("a sync that failed, then a new process with the cache dropped", c.failed)
	run.Inject("SIGKILL inside a sync", c.killedInSync)
	run.Inject("SIGKILL anywhere", c.killed-c.killedInSync)
	for k, n := range r.Lost {
		if strings.HasPrefix(k, "lost ") || strings.HasPrefix(k, "torn ") {
			run.Inject(k, n)
		}
	}
	for _, n := range run.Numbers {
		c.t.Logf("%12s  %s", n.Value, n.Name)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Lost)) {
		c.t.Logf("%12d  %s", r.Lost[k], k)
	}
	for _, k := range []string{"torn write", "torn write, inside a sector", "lost write", "lost creation", "lost rename", "lost unlink", "kept unlink", "lost truncate", "lost allocate"} {
		if r.Lost[k] == 0 && c.workloads > 1 {
			c.t.Errorf("nothing was injected of %q: the run proves less than it says", k)
		}
	}
}
