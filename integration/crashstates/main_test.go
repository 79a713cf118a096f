//go:build crash

package crashstates

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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

// scratch is a directory in memory where there is one: a state is written and read back at once. done removes it.
func scratch(t *testing.T) (dir string, done func()) {
	const memory = "/dev/shm"
	where := memory
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		where = os.TempDir()
	}
	dir, err := os.MkdirTemp(where, "crashstates-")
	if err != nil {
		t.Fatal(err)
	}
	done = func() { _ = os.RemoveAll(dir) }
	t.Cleanup(done)
	return dir, done
}

// rig records cases in one directory, and checks them.
type rig struct {
	t       *testing.T
	program string
	dir     string
	cases   int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, _ := scratch(t)
	return &rig{t: t, program: self(t), dir: dir}
}

// record makes a case.
func (r *rig) record(script Script, before map[string]Image, marks []string, phases ...Phase) *Case {
	r.t.Helper()
	c, err := r.try(script, before, marks, phases...)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) try(script Script, before map[string]Image, marks []string, phases ...Phase) (*Case, error) {
	r.cases++
	recipe := Recipe{Dir: filepath.Join(r.dir, strconv.Itoa(r.cases)), Script: script, Phases: phases}
	return Record(r.t.Context(), r.program, recipe, before, marks)
}

// prepare has lives without a trace.
func (r *rig) prepare(script Script, lives string) (map[string]Image, []string) {
	r.t.Helper()
	r.cases++
	state, marks, err := Prepare(r.t.Context(), r.program, filepath.Join(r.dir, strconv.Itoa(r.cases)), script, lives)
	if err != nil {
		r.t.Fatal(err)
	}
	return state, marks
}

// how a kept case is to be repeated.
type how struct {
	Plan Plan
	Lies Lies
}

// forget removes a case, or keeps it elsewhere if a state of it was a violation.
func (r *rig) forget(c *Case, plan Plan, lies Lies, bad bool) {
	r.t.Helper()
	if bad {
		kept := filepath.Join(os.TempDir(), fmt.Sprintf("crashstates-%d-%d-%d", c.Script.Seed, r.cases, time.Now().UnixNano()))
		raw, err := json.Marshal(how{plan, lies})
		if err == nil {
			err = os.CopyFS(kept, os.DirFS(c.At))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(kept, "how"), raw, 0o600)
		}
		if err != nil {
			r.t.Logf("not kept: %v", err)
		}
		r.t.Logf("kept; to repeat state N: CRASH_CASE=%s CRASH_STATE=N go test -tags crash -count=1 -v ./integration/crashstates -run TestStateOfAKeptCase", kept)
	}
	if err := os.RemoveAll(c.At); err != nil {
		r.t.Error(err)
	}
}

func keptPlan(dir string) (Plan, Lies, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "how"))
	var h how
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	return h.Plan, h.Lies, err
}

const workers = 2

// check checks a share of a plan's states of a case.
func (r *rig) check(c *Case, plan Plan, share float64, lies Lies) *Result {
	r.t.Helper()
	sum := newResult()
	var mu sync.Mutex
	var all sync.WaitGroup
	start := time.Now()
	for w := range workers {
		all.Go(func() {
			dir, done := scratch(r.t)
			defer done()
			x, err := Job{Case: c.At, Plan: plan, Lies: lies, Of: workers, One: w, Share: share, Scratch: dir}.Run(r.t.Context(), r.program)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.t.Error(err)
				return
			}
			sum.Made = 0 // each of them says the same
			sum.add(x)
		})
	}
	all.Wait()
	sum.Took = time.Since(start)
	return sum
}
