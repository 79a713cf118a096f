package crashstates

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Recipe is how a case is made. A case is a directory:
//
//	recipe        this, as JSON, and where it was made
//	spool/        what the workload worked on
//	before/       the spool's files as they were before
//	marks         what the workload told, see History
//	before.marks  its beginning, of the lives before
//	trace.N       strace's output, a file for each phase
type Recipe struct {
	Dir    string
	Script Script
	Phases []Phase
}

// Phase is what is traced at once: lives, one after the other.
type Phase struct {
	// Lives is a list with commas. Each is a number of steps, with a "k" behind it if SIGKILL ends it, or an "e" if a
	// sync that fails must.
	Lives  string
	Inject string // strace's fault, or ""
	// How it follows on the phase before, in which a sync has failed. Warm: the page cache still holds what that sync
	// has lost. Else it was dropped, and Seed says what of it is on the disk.
	Warm bool
	Seed uint64
}

// Case is a recorded workload: what there was before, and the trace.
type Case struct {
	Recipe
	At     string // where it is now
	Before map[string]Image
	Events []Event // of all phases, with a Restart between them
	marks  []string
	lines  int
}

const (
	envLives  = "CRASHSTATES_LIVES"
	envLife   = "CRASHSTATES_LIFE"
	envDir    = "CRASHSTATES_DIR"
	envScript = "CRASHSTATES_SCRIPT"
)

// errUncertain: SIGKILL has met a write under way. The trace does not say whether it happened, and what the next life
// did depends on that.
var errUncertain = errors.New("crashstates: a kill has met a write")

// ErrNothingFailed: no sync was there to fail.
var ErrNothingFailed = errors.New("crashstates: the fault was never injected")

// Record runs a workload under strace on a directory in which before is, and reads the
// trace. program is run with the environment that WorkloadMain understands. It is done again if the trace is not certain.
func Record(ctx context.Context, program string, r Recipe, before map[string]Image, marks []string) (*Case, error) {
	for range 20 {
		c, err := record(ctx, program, r, before, marks)
		if !errors.Is(err, errUncertain) {
			return c, err
		}
		if err := os.RemoveAll(r.Dir); err != nil {
			return nil, fmt.Errorf("crashstates: %w", err)
		}
	}
	return nil, fmt.Errorf("20 recordings, and in each of them: %w", errUncertain)
}

func record(ctx context.Context, program string, r Recipe, before map[string]Image, marks []string) (*Case, error) {
	for _, name := range []string{"spool", "before"} {
		if err := WriteState(filepath.Join(r.Dir, name), before); err != nil {
			return nil, err
		}
	}
	text := strings.Join(marks, "")
	for name, content := range map[string]string{"marks": text, "before.marks": text} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("crashstates: %w", err)
		}
	}
	var c *Case
	all := r.Phases
	for i := range all {
		r.Phases = all[:i+1]
		if i > 0 {
			if err := c.again(&all[i]); err != nil {
				return nil, err
			}
		}
		err := r.trace(ctx, program, i)
		if err != nil {
			return nil, err
		}
		if c, err = LoadCase(r.Dir); err != nil {
			return nil, err
		}
		if err := c.verify(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Prepare has lives without a trace, in a directory that is gone afterwards, and gives what they leave and what they told.
func Prepare(ctx context.Context, program, dir string, script Script, lives string) (map[string]Image, []string, error) {
	if err := WriteState(filepath.Join(dir, "spool"), nil); err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "marks"), nil, 0o600); err != nil {
		return nil, nil, fmt.Errorf("crashstates: %w", err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), script.env(), envLives+"="+lives, envDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("crashstates: a life without a trace: %w\n%s", err, out)
	}
	state, err := readState(filepath.Join(dir, "spool"))
	if err != nil {
		return nil, nil, err
	}
	marks, err := readMarks(filepath.Join(dir, "marks"))
	if err != nil {
		return nil, nil, err
	}
	return state, marks, os.RemoveAll(dir)
}

func readMarks(path string) (marks []string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	return slices.Collect(strings.Lines(string(raw))), nil
}

// trace runs one phase.
func (r *Recipe) trace(ctx context.Context, program string, i int) error {
	args := []string{"-f", "-y", "-xx", "-qq", "-s", "1048576", "-e", "trace=" + TraceCalls, "-o", traceOf(r.Dir, i)}
	inject := r.Phases[i].Inject
	if inject != "" {
		args = append(args, "-e", "inject="+inject)
	}
	if !strings.Contains(inject, "signal=") { // strace 6.1 injects none with it
		args = append(args, "--seccomp-bpf") // other calls are not stopped for
	}
	cmd := exec.CommandContext(ctx, "strace", append(args, program)...)
	cmd.Env = append(os.Environ(), r.Script.env(), envLives+"="+r.Phases[i].Lives, envDir+"="+r.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == exitNothingFailed {
			return ErrNothingFailed
		}
		return fmt.Errorf("crashstates: strace of the workload: %w\n%s", err, out)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "recipe"), raw, 0o600); err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	return nil
}

func traceOf(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("trace.%d", i)) }

// verify compares the files that the last phase has left with what the model of the disk makes of the trace.
func (c *Case) verify() error {
	if !c.certain() {
		return errUncertain
	}
	d := c.Disk(Lies{})
	d.Advance(c.lines)
	got, err := readState(filepath.Join(c.At, "spool"))
	if err != nil {
		return err
	}
	want := d.Visible()
	if have, by := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(have, by) {
		return fmt.Errorf("crashstates: %v are there, by the trace %v", have, by)
	}
	for name, im := range want {
		if got[name].Size != im.Size || !bytes.Equal(got[name].Data, im.Data) {
			return fmt.Errorf("crashstates: %s is not what the trace says (%d bytes, by the trace %d)", name, got[name].Size, im.Size)
		}
	}
	return nil
}

// again makes the directory what the first process of the next phase is to read.
func (c *Case) again(next *Phase) error {
	c.restart(next)
	d := c.Disk(Lies{})
	d.Advance(c.lines)
	dir := filepath.Join(c.At, "spool")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	return WriteState(dir, d.Visible())
}

// certain reports whether the trace says of every change whether it happened.
func (c *Case) certain() bool {
	return !slices.ContainsFunc(c.Events, func(e Event) bool { return e.End == never && !e.isSync() })
}

// LoadCase reads what Record left, also if it was moved.
func LoadCase(dir string) (*Case, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "recipe"))
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	var r Recipe
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("crashstates: read the recipe: %w", err)
	}
	c := &Case{Recipe: r, At: dir}
	if c.marks, err = readMarks(filepath.Join(dir, "before.marks")); err != nil {
		return nil, err
	}
	if c.Before, err = readState(filepath.Join(dir, "before")); err != nil {
		return nil, err
	}
	for i := range r.Phases {
		if i > 0 {
			c.restart(&r.Phases[i])
		}
		if err := c.read(i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// restart puts a phase's beginning behind the events so far.
func (c *Case) restart(p *Phase) {
	c.lines++
	c.Events = append(c.Events, Event{Kind: Restart, Start: c.lines, End: c.lines, Warm: p.Warm, Seed: p.Seed})
}

// read puts the trace of a phase behind the events so far.
func (c *Case) read(i int) error {
	f, err := os.Open(traceOf(c.At, i))
	if err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	events, lines, err := ParseTrace(bufio.NewReader(f), filepath.Join(c.Dir, "spool"), filepath.Join(c.Dir, "marks"))
	if err != nil {
		return err
	}
	for _, e := range events {
		e.Start += c.lines
		if e.End != never {
			e.End += c.lines
		}
		c.Events = append(c.Events, e)
	}
	c.lines += lines
	return nil
}

// Disk is the disk before the trace.
func (c *Case) Disk(lies Lies) *Disk {
	return NewDisk(filepath.Join(c.Dir, "spool"), c.Before, c.Events, lies)
}

func readState(dir string) (map[string]Image, error) {
	out := map[string]Image{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("crashstates: %w", err)
		}
		out[e.Name()] = image(b, int64(len(b)))
	}
	return out, nil
}

// WriteState makes a directory of a state. What is zero at the end of a file is a hole.
func WriteState(dir string, state map[string]Image) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	for name, im := range state {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, im.Data, 0o600); err != nil {
			return fmt.Errorf("crashstates: %w", err)
		}
		if im.Size > int64(len(im.Data)) {
			if err := os.Truncate(path, im.Size); err != nil {
				return fmt.Errorf("crashstates: %w", err)
			}
		}
	}
	return nil
}
