//go:build crash

package inject

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
)

// shape is what a round does besides its fault.
type shape struct {
	rng  *rand.Rand
	how  How // of the daemon with the fault
	size int // most bytes in a record
}

// shapeOf draws a shape. Where strace's count is to become high, one thread makes all calls; where what is counted comes with new segments,
// they come soon.
func shapeOf(seed uint64, f Fault) *shape {
	s := &shape{rng: rand.New(rand.NewPCG(seed, uint64(f.When)<<8|uint64(len(f.Call)+len(f.Do)))), size: 6000}
	if f.When > 20 || s.rng.IntN(2) == 0 {
		s.how.Threads = 1
	}
	s.how.Slow = s.rng.IntN(2) == 0
	if f.When > 6 && f.Call != "fdatasync" && f.Call != "pwrite64" {
		s.size = 40_000
	}
	return s
}

// round is one spool: sometimes a life before, one with the fault, one or two after.
func round(t *testing.T, bin, scratch string, seed uint64, f Fault, x *tally) error {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s := shapeOf(seed, f)
	dir, err := os.MkdirTemp(scratch, "round")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "spool")
	c := NewClient(seed)
	switch s.rng.IntN(3) {
	case 0:
		if err := quiet(ctx, bin, path, c, 1+s.rng.IntN(8)); err != nil {
			return fmt.Errorf("the life before: %w", err)
		}
	case 1: // then the fault meets what a kill has left
		before := Fault{Call: calls[s.rng.IntN(4)].name, Do: kill, When: 1 + s.rng.IntN(12)}
		if err := faulty(ctx, bin, path, dir, c, before, s, newTally()); err != nil {
			return fmt.Errorf("the life before, %s: %w", before, err)
		}
	}
	if err := faulty(ctx, bin, path, dir, c, f, s, x); err != nil {
		return err
	}
	if err := quiet(ctx, bin, path, c, 2); err != nil {
		return fmt.Errorf("the life after: %w", err)
	}
	x.mu.Lock()
	x.repeats += c.Repeated
	x.mu.Unlock()
	return compare(path, c)
}

// quiet is a life without a fault: it repeats what was not answered, sends a little more, compares what the daemon and ls
// say with what was answered, and stops.
func quiet(ctx context.Context, bin, path string, c *Client, requests int) (err error) {
	d, err := Start(bin, path, nil, "", How{})
	if err != nil {
		return err
	}
	ready, err := d.Ready(ctx)
	if err != nil {
		return err
	}
	if !ready {
		return fmt.Errorf("does not start, code %d\n%s", d.Code(), d.Log())
	}
	err = c.Again(ctx, d)
	for i := 0; err == nil && i < requests; i++ {
		if ok, said := c.Next(ctx, d, 1+i%3, 500); !ok {
			err = fmt.Errorf("refuses a request: %s", said)
		}
	}
	if err == nil {
		err = accepted(ctx, bin, path, c.Ledger)
	}
	if stopped := d.Stop(); err == nil {
		err = stopped
	}
	if err == nil && d.Code() != 0 {
		err = fmt.Errorf("ends with code %d", d.Code())
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.Log())
	}
	return nil
}

// accepted asks `spoold ls`, which asks the daemon.
func accepted(ctx context.Context, bin, path string, l *crash.Ledger) error {
	want, _ := l.Total()
	out, err := exec.CommandContext(ctx, bin, "ls", "--json", "--spool", path).Output()
	if err != nil {
		return fmt.Errorf("ls: %w", err)
	}
	var topics []struct {
		Topic    string
		Accepted int
		Pending  int
	}
	if err := json.Unmarshal(out, &topics); err != nil {
		return fmt.Errorf("ls: %w: %s", err, out)
	}
	if len(topics) != 1 || topics[0].Topic != Topic || topics[0].Accepted != want || topics[0].Pending != want {
		return fmt.Errorf("%d records were answered, but ls says %s", want, out)
	}
	return nil
}

// faulty is the life with the fault.
func faulty(ctx context.Context, bin, path, dir string, c *Client, f Fault, s *shape, x *tally) error {
	d, err := Start(bin, path, &f, dir, s.how)
	if err != nil {
		return err
	}
	ready, err := d.Ready(ctx)
	if err != nil {
		return err
	}
	refused := ""
	for i := 0; ready && i < 25+4*f.When; i++ {
		ok, said := c.Next(ctx, d, 1+s.rng.IntN(3), s.rng.IntN(s.size))
		if ok && refused != "" && !f.outlived() {
			return fmt.Errorf("answered 2xx after %s\n%s", refused, stop(d))
		}
		if !ok {
			refused = said
		}
		if !ok && f.outlived() {
			if err := room(ctx, d, c); err != nil {
				return fmt.Errorf("after %s: %w", refused, err)
			}
			continue
		}
		if !ok && d.Ended(10*time.Millisecond) {
			break
		}
	}
	return verdict(d, f, ready, refused, x)
}

// room repeats what was not answered until the daemon, which has met a full disk, takes it.
func room(ctx context.Context, d *Daemon, c *Client) error {
	for deadline := time.Now().Add(80 * time.Second); ; {
		err := c.Again(ctx, d)
		if err == nil {
			return nil
		}
		if d.Ended(100 * time.Millisecond) {
			return nil // verdict looks at how
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it takes nothing for 80 s: %w\n%s", err, stop(d))
		}
	}
}

// stop ends a daemon that should have ended, and gives its log.
func stop(d *Daemon) string {
	if err := d.Stop(); err != nil {
		return err.Error()
	}
	return d.Log()
}

// spared reports whether a full disk was met by a new segment's sync alone: the segment is thrown away, and the old one goes on.
func spared(f Fault, line string) bool { return f.Do == enospc && strings.Contains(line, ".db.tmp") }

// verdict compares how the life ended with how it must.
func verdict(d *Daemon, f Fault, ready bool, refused string, x *tally) error {
	ended := d.Ended(0)
	if !ended && refused != "" && !f.outlived() {
		ended = d.Ended(10 * time.Second)
	}
	injected, line := d.Injected()
	when := "at work"
	if !ready {
		when = "at its start"
	}
	switch {
	case !ended:
		log := stop(d)
		if d.Code() != 0 && d.Code() != exitIO {
			return fmt.Errorf("stopped with code %d\n%s", d.Code(), log)
		}
		if refused != "" && !f.outlived() {
			return fmt.Errorf("lives on after %s (injected: %s)\n%s", refused, line, log)
		}
		if injected == 0 {
			x.add("not reached: %s", f.Call)
			x.mu.Lock()
			x.empty++
			x.mu.Unlock()
			return nil
		}
		x.reached(f)
		if f.outlived() || spared(f, line) {
			x.add("outlived: %s %s, a request refused: %v", f.Call, f.Do, refused != "")
			return nil
		}
		if f.Call == "fdatasync" || f.Call == "fsync" || f.Call == "pwrite64" {
			return fmt.Errorf("lives on after %s\n%s", line, log)
		}
		x.add("outlived: %s %s", f.Call, f.Do)
		return nil
	case f.Do == kill:
		if d.Code() != -1 && d.Code() != 137 {
			return fmt.Errorf("ended with code %d where SIGKILL was due (%s)\n%s", d.Code(), line, d.Log())
		}
	case f.outlived() && (ready || d.Code() != exitTemporary && d.Code() != exitIO):
		return fmt.Errorf("ended %s with code %d after %s\n%s", when, d.Code(), line, d.Log())
	case spared(f, line) && !ready && d.Code() == exitTemporary: // the first segment of all
	case !f.outlived() && d.Code() != exitIO:
		return fmt.Errorf("ended %s with code %d and not %d after %s\n%s", when, d.Code(), exitIO, line, d.Log())
	}
	// What follows a failed write or sync may cover up that the disk has lost what was before it.
	if writes := f.Call == "pwrite64" || f.Call == "fdatasync" || f.Call == "fsync"; f.Do != kill && !f.outlived() && writes {
		if after := d.Written(); after != "" {
			return fmt.Errorf("after %s it goes on: %s", line, after)
		}
	}
	x.reached(f)
	x.add("ended: %s %s %s", f.Call, f.Do, when)
	return nil
}
