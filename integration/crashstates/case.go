package crashstates

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Case is a recorded workload: what there was before, and the trace. It is a directory:
//
//	spool/        what the workload worked on
//	before/       the spool's files as they were before
//	marks         what the workload told, see History
//	before.marks  its beginning, of the lives before
//	trace         strace's output
//	origin        the directory's path when it was recorded, and the seed
type Case struct {
	Dir    string
	Seed   uint64
	Before map[string]Image
	Events []Event
	marks  []string // before
	origin string
	bad    bool // a state of it is a violation
}

// Lives is the environment's name for what Record has the traced process do. Its value is a list, each
// element a life: a number of steps, with a "k" behind it if SIGKILL ends it.
const (
	envLives = "CRASHSTATES_LIVES"
	envLife  = "CRASHSTATES_LIFE"
	envDir   = "CRASHSTATES_DIR"
	envSeed  = "CRASHSTATES_SEED"
)

// Record runs a workload under strace on a directory in which before is, and reads the
// trace. program is run with the environment that WorkloadMain understands. When SIGKILL has met a write
// under way, the trace does not say whether it happened, and what the next life did depends on that: then
// it is recorded again.
func Record(ctx context.Context, program, dir string, seed uint64, before map[string]Image, marks []string, lives string) (*Case, error) {
	for range 20 {
		c, err := record(ctx, program, dir, seed, before, marks, lives)
		if err != nil || c.certain() {
			return c, err
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("crashstates: %w", err)
		}
	}
	return nil, fmt.Errorf("crashstates: 20 recordings, and in each a kill has met a write")
}

// certain reports whether the trace says of every change whether it happened.
func (c *Case) certain() bool {
	for i := range c.Events {
		if e := &c.Events[i]; e.End == never && e.Kind != Sync {
			return false
		}
	}
	return true
}

func record(ctx context.Context, program, dir string, seed uint64, before map[string]Image, marks []string, lives string) (*Case, error) {
	for _, name := range []string{"spool", "before"} {
		if err := WriteState(filepath.Join(dir, name), before); err != nil {
			return nil, err
		}
	}
	text := strings.Join(marks, "")
	for name, content := range map[string]string{"marks": text, "before.marks": text, "origin": fmt.Sprintf("%d\n%s", seed, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("crashstates: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, "strace", "-f", "-y", "-xx", "-qq", "-s", "1048576", "-e", "trace="+TraceCalls, "-o", filepath.Join(dir, "trace"), program)
	cmd.Env = append(os.Environ(), envLives+"="+lives, envDir+"="+dir, envSeed+"="+strconv.FormatUint(seed, 10))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("crashstates: strace of the workload: %w\n%s", err, out)
	}
	return LoadCase(dir)
}

// LoadCase reads what Record left.
func LoadCase(dir string) (*Case, error) {
	c := &Case{Dir: dir, Before: map[string]Image{}}
	raw, err := os.ReadFile(filepath.Join(dir, "origin"))
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	if _, err := fmt.Fscan(bytes.NewReader(raw), &c.Seed, &c.origin); err != nil {
		return nil, fmt.Errorf("crashstates: read origin: %w", err)
	}
	if raw, err = os.ReadFile(filepath.Join(dir, "before.marks")); err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		c.marks = append(c.marks, line)
	}
	if c.Before, err = readState(filepath.Join(dir, "before")); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, "trace"))
	if err != nil {
		return nil, fmt.Errorf("crashstates: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	c.Events, err = ParseTrace(bufio.NewReader(f), filepath.Join(c.origin, "spool"), filepath.Join(c.origin, "marks"))
	return c, err
}

// Disk is the disk before the trace.
func (c *Case) Disk(lies Lies) *Disk {
	return NewDisk(filepath.Join(c.origin, "spool"), c.Before, c.Events, lies)
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
		out[e.Name()] = Image{bytes.TrimRight(b, "\x00"), int64(len(b))}
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
