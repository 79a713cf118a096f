package crashstates

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold/spool/bolt"
)

// Job says which states of a case to check. States are numbered from 0; each comes from the case's seed
// and its number alone.
type Job struct {
	Case        string // directory
	First, Step int    // every Step-th number from First on
	Count       int    // of numbers
	Lies        Lies
	Scratch     string // where states are made
}

// Result is what came of a Job.
type Result struct {
	States int
	Failed []string // at most 20
	Bad    int
	Tally  Tally
	Took   time.Duration
}

const envJob = "CRASHSTATES_JOB"

// CheckMain does a Job that is in the environment, and reports whether there was one.
func CheckMain() bool {
	text := os.Getenv(envJob)
	if text == "" {
		return false
	}
	var j Job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	r, err := j.run(func(n int) { fmt.Println("state", n) })
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	b, err := json.Marshal(r)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("result", string(b))
	return true
}

// Run does the job in a child process, which a damaged file may kill. Then the state that killed it is the failure.
func (j Job) Run(ctx context.Context, program string) (*Result, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), envJob+"="+string(text))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &Result{Tally: Tally{}}
	last, ended := "none", false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "state":
			last = rest
		case "error":
			err = errors.New(rest)
		case "result":
			ended = true
			err = json.Unmarshal([]byte(rest), r)
		}
	}
	died := cmd.Wait()
	if err != nil {
		return nil, err
	}
	if !ended {
		r.Bad++
		said := stderr.String()
		r.Failed = append(r.Failed, fmt.Sprintf("state %s killed the process: %v: %.2000s", last, died, said))
	}
	return r, nil
}

// at is a state's number and the line of the trace at which the power is cut.
type at struct {
	number, line int
}

func (j Job) run(began func(int)) (*Result, error) {
	start := time.Now()
	c, err := LoadCase(j.Case)
	if err != nil {
		return nil, err
	}
	d := c.Disk(j.Lies)
	h := NewHistory(c.Seed)
	for _, mark := range c.marks {
		if err := h.Take(mark); err != nil {
			return nil, err
		}
	}
	debug.SetPanicOnFault(true)
	r := &Result{Tally: Tally{}}
	marks := 0
	for _, x := range j.lines(c) {
		d.Advance(x.line)
		for ; marks < len(d.Marks); marks++ {
			if err := h.Take(string(d.Marks[marks].Data)); err != nil {
				return nil, err
			}
		}
		began(x.number)
		rng := c.rng(x.number)
		r.Tally["cut while nothing waited"] += map[bool]int{true: 1}[d.Waiting() == 0]
		state := d.Cut(rng, r.Tally)
		r.States++
		if err := j.check(x.number, state, h, rng); err != nil {
			r.Bad++
			if len(r.Failed) < 20 {
				r.Failed = append(r.Failed, fmt.Sprintf("state %d, power cut at line %d of the trace: %v", x.number, x.line, err))
			}
		}
	}
	r.Took = time.Since(start)
	return r, nil
}

func (c *Case) rng(number int) *rand.Rand { return rand.New(rand.NewPCG(c.Seed, uint64(number)<<1|1)) }

// lines are the job's states in the order of the trace.
func (j Job) lines(c *Case) []at {
	var all []at
	var names []int // events that are about names: few, and each a place of its own
	for i := range c.Events {
		if e := &c.Events[i]; e.Kind == Create || e.Kind == Rename || e.Kind == Unlink || e.Kind == Sync && e.Path == filepath.Join(c.origin, "spool") {
			names = append(names, i)
		}
	}
	for i := range j.Count {
		n := j.First + i*max(j.Step, 1)
		rng := rand.New(rand.NewPCG(c.Seed, uint64(n)<<1))
		e := &c.Events[rng.IntN(len(c.Events))]
		if len(names) > 0 && rng.IntN(4) == 0 {
			e = &c.Events[names[rng.IntN(len(names))]]
		}
		line := e.Start
		if e.End != never && rng.IntN(2) == 0 {
			line = e.End
		}
		all = append(all, at{n, line})
	}
	slices.SortFunc(all, func(a, b at) int { return cmp.Compare(a.line, b.line) })
	return all
}

// check opens a state and compares it.
func (j Job) check(number int, state map[string]Image, h *History, rng *rand.Rand) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	dir := filepath.Join(j.Scratch, strconv.Itoa(number))
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := WriteState(dir, state); err != nil {
		return err
	}
	deep := rng.IntN(4) == 0
	n, err := open(dir, h, func(s *bolt.Store, m *Model) error {
		if !deep {
			return nil
		}
		return goOn(s, h, m)
	})
	if err != nil || !deep {
		return err
	}
	// What was appended after the power cut must not harm the start after it.
	o := options(dir)
	s, r, err := bolt.Open(o)
	if err != nil {
		return fmt.Errorf("open a second time: %w", err)
	}
	accepted := r.Counters.Accepted
	err = closeStore(s)
	if least := h.models[n].accepted(); err == nil && accepted <= least {
		err = fmt.Errorf("%d records after a start that added to %d", accepted, least)
	}
	return err
}

// open opens a directory, compares it with what it may hold, and has then done with it.
func open(dir string, h *History, then func(*bolt.Store, *Model) error) (n int, err error) {
	o := options(dir)
	o.Adopt = true
	s, r, err := bolt.Open(o)
	if err != nil {
		return 0, err
	}
	go func() {
		for c := range s.Commits() {
			c.Release()
		}
	}()
	if n, err = h.Find(s, r); err == nil {
		err = then(s, h.models[n])
	}
	return n, errors.Join(err, s.Close(context.Background()))
}

func closeStore(s *bolt.Store) error {
	go func() {
		for c := range s.Commits() {
			c.Release()
		}
	}()
	return s.Close(context.Background())
}

// goOn uses a spool after a power cut.
func goOn(s *bolt.Store, h *History, m *Model) error {
	ctx := context.Background()
	if err := m.Keys(ctx, s, h.steps, h.Absent(m)); err != nil {
		return err
	}
	t, err := s.Append(ctx, "after the power cut", 1, -1, nil, []byte("one more"), nil)
	if err != nil {
		return err
	}
	return t.Spooled(ctx)
}

func (m *Model) accepted() (n uint64) {
	for _, l := range m.lanes {
		n += uint64(len(l.values))
	}
	return n
}

// State builds one state of a case, and what was told until then.
func (j Job) State(number int) (map[string]Image, []string, error) {
	c, err := LoadCase(j.Case)
	if err != nil {
		return nil, nil, err
	}
	j.First, j.Count = number, 1
	d := c.Disk(j.Lies)
	d.Advance(j.lines(c)[0].line)
	marks := slices.Clone(c.marks)
	for i := range d.Marks {
		marks = append(marks, string(d.Marks[i].Data))
	}
	return d.Cut(c.rng(number), Tally{}), marks, nil
}
