//go:build crash

package crashstates

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if CheckMain() || WorkloadMain() {
		return
	}
	os.Exit(m.Run())
}

// self is this program, which is also what is traced and what checks.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// setting is a number from the environment.
func setting(t *testing.T, name string, unset uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return unset
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// scratch is a directory in memory where there is one: a state is written and read back at once.
func scratch(t *testing.T) string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "crashstates-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// recordCase makes a case. On a failure of the test it is kept.
func recordCase(t *testing.T, name string, seed uint64, before map[string]Image, marks []string, lives string) *Case {
	t.Helper()
	dir := filepath.Join(scratch(t), name)
	keep := func() {
		kept := filepath.Join(os.TempDir(), fmt.Sprintf("crashstates-%d-%s", seed, name))
		if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
			t.Logf("not kept: %v", err)
		}
		t.Logf("kept %s; to repeat state N: CRASH_CASE=%s CRASH_STATE=N go test -tags crash -count=1 -v ./integration/crashstates -run TestStateOfAKeptCase", name, kept)
	}
	c, err := Record(t.Context(), self(t), dir, seed, before, marks, lives)
	if err != nil {
		keep()
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		if c.bad {
			keep()
		}
	})
	return c
}

const workers = 2

// check checks count states of a case.
func check(t *testing.T, c *Case, count int, lies Lies) *Result {
	t.Helper()
	sum := &Result{Tally: Tally{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	start := time.Now()
	for w := range workers {
		j := Job{Case: c.Dir, First: w, Step: workers, Count: count / workers, Lies: lies, Scratch: scratch(t)}
		all.Go(func() {
			r, err := j.Run(t.Context(), self(t))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sum.States += r.States
			sum.Bad += r.Bad
			sum.Failed = append(sum.Failed, r.Failed...)
			for k, n := range r.Tally {
				sum.Tally[k] += n
			}
		})
	}
	all.Wait()
	c.bad = sum.Bad > 0 && lies == (Lies{})
	sum.Took = time.Since(start)
	return sum
}

func (r *Result) add(x *Result) {
	r.States += x.States
	r.Bad += x.Bad
	r.Took += x.Took
	r.Failed = append(r.Failed, x.Failed...)
	for k, n := range x.Tally {
		r.Tally[k] += n
	}
}

func (r *Result) report(t *testing.T) {
	t.Helper()
	t.Logf("%d states in %.1f s: %.0f a second; %d violations", r.States, r.Took.Seconds(), float64(r.States)/r.Took.Seconds(), r.Bad)
	for _, k := range slices.Sorted(maps.Keys(r.Tally)) {
		t.Logf("%9d  %s", r.Tally[k], k)
	}
	for i, f := range r.Failed {
		if i < 5 {
			t.Errorf("%.3000s", f)
		}
	}
}

// The promise on a disk that keeps its own: seed by seed, and through a second power cut during the recovery
// from the first.
func TestWhatAPowerCutLeavesOpensWithEverythingThatWasTold(t *testing.T) {
	seed := setting(t, "CRASH_SEED", rand.Uint64())
	count := int(setting(t, "CRASH_STATES", 4000))
	t.Logf("seed %d; another run like it: CRASH_SEED=%d CRASH_STATES=%d go test -tags crash -count=1 -v ./integration/crashstates -run %s", seed, seed, count, t.Name())
	sum := &Result{Tally: Tally{}}
	const perWorkload = 4000
	for round := range uint64((count + perWorkload - 1) / perWorkload) {
		checkWorkload(t, seed+round, min(count, perWorkload), sum)
		if t.Failed() || sum.Bad > 0 {
			break
		}
	}
	sum.report(t)
	for _, k := range []string{"torn write", "lost write", "lost creation", "lost rename", "lost unlink", "kept unlink", "writes: any sectors kept"} {
		if count >= 1000 && sum.Tally[k] == 0 {
			t.Errorf("nothing was injected of %q: the run proves less than it says", k)
		}
	}
}

// checkWorkload records a workload and cuts the power; then again, while a start recovers or a little later.
func checkWorkload(t *testing.T, seed uint64, count int, sum *Result) {
	t.Helper()
	first := recordCase(t, "first", seed, nil, nil, "60k,60k,40")
	t.Logf("trace: %d calls, %s", len(first.Events), first.kinds())
	sum.add(check(t, first, count/2, Lies{}))
	const again = 6
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := range again {
		state, marks, err := Job{Case: first.Dir}.State(rng.IntN(1 << 30))
		if err != nil {
			t.Fatal(err)
		}
		c := recordCase(t, fmt.Sprint("again", i), seed, state, marks, "3k,4")
		sum.add(check(t, c, max(count/2/again, workers), Lies{}))
	}
}

// kinds counts the events.
func (c *Case) kinds() string {
	n := map[string]int{}
	for i := range c.Events {
		n[c.Events[i].Kind.String()]++
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%d %s", n[k], k))
	}
	return strings.Join(out, ", ")
}

// A rig that finds nothing on a disk that lies would find nothing at all.
func TestDisksThatLieAreFoundOut(t *testing.T) {
	seed := setting(t, "CRASH_SEED", rand.Uint64())
	t.Logf("seed %d; another run like it: CRASH_SEED=%d go test -tags crash -count=1 -v ./integration/crashstates -run %s", seed, seed, t.Name())
	c := recordCase(t, "lies", seed, nil, nil, "40k,20")
	for _, lies := range []Lies{{FileSync: true}, {DirSync: true}} {
		r := check(t, c, 200, lies)
		t.Logf("%+v: %d of %d states found out", lies, r.Bad, r.States)
		if r.Bad == 0 {
			t.Errorf("%+v was not seen", lies)
		}
	}
}

// TestStateOfAKeptCase repeats one state of a case that a failure has kept.
func TestStateOfAKeptCase(t *testing.T) {
	dir := os.Getenv("CRASH_CASE")
	if dir == "" {
		return // there is nothing to repeat
	}
	j := Job{Case: dir, First: int(setting(t, "CRASH_STATE", 0)), Count: 1, Scratch: scratch(t)}
	r, err := j.Run(t.Context(), self(t))
	if err != nil {
		t.Fatal(err)
	}
	r.report(t)
}
