package crashstates

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Job says which states of a case to check. States are numbered from 0, in the order of the trace; each comes from the case,
// the plan and its number alone.
type Job struct {
	Case    string // directory
	Plan    Plan
	Lies    Lies
	Of, One int     // states go to Of workers; this is number One of them
	Share   float64 // of the states, above 0; 1: all
	Only    []int   // not nil: these states and no others
	Scratch string  // where states are made
	Die     int     // above 0: die at this state, as a damaged file might have it; to see what is said then
}

// Result is what came of a Job.
type Result struct {
	States int      // that were checked
	Failed []string // at most 20
	Bad    int
	First  int      // how many were checked when the first violation was found
	How    Tally    // how the states came about
	Lost   Tally    // what was lost, torn and kept in them
	Made   int      // states that there are: all that the plan makes of the case
	Tells  []string // of a Job with Only: what each state has lost
	Took   time.Duration
	CPU    time.Duration
}

func newResult() *Result { return &Result{How: Tally{}, Lost: Tally{}} }

func (r *Result) add(x *Result) {
	r.States += x.States
	r.Bad += x.Bad
	r.Made += x.Made
	if x.First > 0 && (r.First == 0 || x.First < r.First) {
		r.First = x.First
	}
	r.Took += x.Took
	r.CPU += x.CPU
	r.Failed = append(r.Failed, x.Failed...)
	r.How.add(x.How)
	r.Lost.add(x.Lost)
}

// Tally counts.
type Tally map[string]int

func (t Tally) add(o Tally) {
	for k, n := range o {
		t[k] += n
	}
}

const envJob = "CRASHSTATES_JOB"

// CheckMain does a Job that is in the environment, and reports whether there was one.
func CheckMain() bool {
	text := os.Getenv(envJob)
	if text == "" {
		return false
	}
	runtime.GOMAXPROCS(1) // goroutines hand over to each other all the time
	debug.SetGCPercent(1000)
	var j Job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		var r *Result
		if r, err = j.run(); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(r)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// Run does the job in a child process, which a damaged file may kill. Then the state that killed it is the failure.
func (j Job) Run(ctx context.Context, program string) (*Result, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), envJob+"="+string(text))
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	died := cmd.Run()
	r := newResult()
	if died == nil {
		if err := json.Unmarshal([]byte(stdout.String()), r); err != nil {
			return nil, fmt.Errorf("crashstates: read a result: %w: %.200s", err, stdout.String())
		}
		r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return r, nil
	}
	last, err := readProgress(j.Scratch)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("crashstates: a check: %w: %.2000s", died, stderr.String()), err)
	}
	r.Bad++
	r.Failed = append(r.Failed, fmt.Sprintf("state %d killed the process: %v: %.2000s", last, died, stderr.String()))
	return r, nil
}

// progress is the number of the state under way, in a file that outlives the process.
type progress []byte

func newProgress(scratch string) (progress, error) {
	f, err := os.Create(filepath.Join(scratch, "progress"))
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	defer func() { _ = f.Close() }() // the map stays
	if err := f.Truncate(8); err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("crashstates: map %s: %w", f.Name(), err)
	}
	return mem, nil
}

// set keeps a number; 0 is that none is under way.
func (p progress) set(number int) { binary.NativeEndian.PutUint64(p, uint64(number+1)) }

func readProgress(scratch string) (int, error) {
	f, err := os.Open(filepath.Join(scratch, "progress"))
	if err != nil {
		return 0, fmt.Errorf("crashstates: %w", err)
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, 8)
	if _, err := bufio.NewReader(f).Read(b); err != nil {
		return 0, fmt.Errorf("crashstates: read %s: %w", f.Name(), err)
	}
	n := binary.NativeEndian.Uint64(b)
	if n == 0 {
		return 0, errors.New("crashstates: no state was under way")
	}
	return int(n - 1), nil
}

// mine reports whether a state is among those of the job.
func (j *Job) mine(seed uint64, number int) bool {
	if j.Only != nil {
		return slices.Contains(j.Only, number)
	}
	if j.Share < 1 && float64(mix(seed+uint64(number))>>11)/(1<<53) >= j.Share {
		return false
	}
	return number/16%max(j.Of, 1) == j.One
}

func (j Job) run() (*Result, error) {
	start := time.Now()
	c, err := LoadCase(j.Case)
	if err != nil {
		return nil, err
	}
	w, err := newWalk(c, j.Plan, j.Lies)
	if err != nil {
		return nil, err
	}
	under, err := newProgress(j.Scratch)
	if err != nil {
		return nil, err
	}
	debug.SetPanicOnFault(true)
	stages := 0
	k := &checker{script: c.Script, h: w.h, fresh: func() (*stage, error) {
		stages++
		return newStage(filepath.Join(j.Scratch, fmt.Sprintf("stage%d", stages)))
	}}
	if k.stage, err = k.fresh(); err != nil {
		return nil, err
	}
	r := newResult()
	bad := map[int]bool{}
	fail := func(number int, format string, args ...any) {
		if bad[number] {
			return // once is enough
		}
		bad[number] = true
		if len(bad) == 1 {
			r.First = r.States
		}
		if r.Bad++; len(r.Failed) < 20 {
			r.Failed = append(r.Failed, fmt.Sprintf("state %d: ", number)+fmt.Sprintf(format, args...))
		}
	}
	w.take = func(s *State) int {
		if !j.mine(c.Script.Seed, s.Number) {
			return none
		}
		under.set(s.Number)
		if j.Die > 0 && s.Number >= j.Die {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
		r.States++
		r.How[s.How]++
		w.fr.tally(s.Kept, r.Lost)
		if j.Only != nil {
			r.Tells = append(r.Tells, fmt.Sprintf("state %d, power cut at line %d of the trace:\n%s", s.Number, s.Line, w.fr.tell(s.Kept)))
		}
		step, err := k.check(w.fr, mix(uint64(s.Number))%4 == 0)
		if err != nil {
			fail(s.Number, "power cut at line %d of the trace: %v", s.Line, err)
			return none
		}
		return step
	}
	w.stale = func(number, line, step int) {
		from, to := w.h.Allowed()
		fail(number, "power cut at line %d of the trace: the state after step %d, but callers were told of step %d (%d had begun)", line, step, from, to)
	}
	if err := w.run(); err != nil {
		return nil, err
	}
	r.Made = w.number
	r.Took = time.Since(start)
	return r, k.stage.close()
}

// tally counts what a state has lost and kept of what waited.
func (fr *frame) tally(kept Kept, t Tally) {
	if len(fr.groups) == 0 {
		t["nothing waited"]++
	}
	for _, g := range fr.groups {
		some, all, inside := false, true, false
		for i := g.from; i < g.to; i++ {
			some, all = some || kept[i] > 0, all && kept[i] == whole
			inside = inside || fr.units[i].kind == Write && kept[i] > 0 && kept[i] < whole
		}
		switch {
		case !some:
			t["lost "+g.kind]++
		case all:
			t["kept "+g.kind]++
		case inside:
			t["torn "+g.kind+", inside a sector"]++
		default:
			t["torn "+g.kind]++
		}
	}
}

// tell says what a state has lost and kept, change by change.
func (fr *frame) tell(kept Kept) string {
	var b strings.Builder
	for _, g := range fr.groups {
		u := &fr.units[g.from]
		fmt.Fprintf(&b, "\t%s of %s", g.kind, cmp.Or(u.file.nameNow, u.file.Name, u.to, "a file without a name"))
		if u.kind == Write {
			fmt.Fprintf(&b, " at %d", u.end/sector*sector-sector)
		}
		fmt.Fprintf(&b, ": kept %v\n", kept[g.from:g.to])
	}
	return b.String()
}

// Count says how many states a plan makes of a case, and how.
func (c *Case) Count(plan Plan) (int, Tally, error) {
	w, err := newWalk(c, plan, Lies{})
	if err != nil {
		return 0, nil, err
	}
	how := Tally{}
	w.take = func(s *State) int { how[s.How]++; return none }
	w.stale = func(int, int, int) {}
	err = w.run()
	return w.number, how, err
}

// State is one state of a case, and what was told until then.
func (c *Case) State(plan Plan, number int) (state map[string]Image, marks []string, err error) {
	w, err := newWalk(c, plan, Lies{})
	if err != nil {
		return nil, nil, err
	}
	w.take = func(s *State) int {
		if s.Number == number {
			state, marks = w.fr.images(), slices.Clone(c.marks)
			for i := range w.d.Marks {
				marks = append(marks, string(w.d.Marks[i].Data))
			}
		}
		return none
	}
	w.stale = func(int, int, int) {}
	err = w.run()
	if err == nil && state == nil {
		err = fmt.Errorf("crashstates: there is no state %d", number)
	}
	return state, marks, err
}
