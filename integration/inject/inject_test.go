//go:build crash

package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

const (
	exitIO        = 74
	exitTemporary = 75 // the disk is full
)

// calls are what a spool is written with, and how many of them a thread may make in a life: strace
// counts by thread.
var calls = []struct {
	name  string
	most  int
	fault []string
}{
	{"fdatasync", 1000, []string{kill, eio}},
	{"pwrite64", 1000, []string{kill, eio}},
	{"fsync", 12, []string{kill, eio}},
	{"openat", 12, []string{kill, eio}},
	{"pread64", 12, []string{eio}},
	{"renameat", 4, []string{kill, eio}},
	{"unlinkat", 4, []string{kill, eio}},
	{"ftruncate", 3, []string{kill, eio}},
	{"fallocate", 8, []string{kill, eio}},
}

const (
	kill   = "signal=KILL"
	eio    = "error=EIO"
	enospc = "error=ENOSPC"
)

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

// build builds the daemon.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "daemon-under-test")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/spoold")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// tally counts rounds by what came of them.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (x *tally) add(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n[fmt.Sprintf(format, args...)]++
}

func TestKilledOrFailedAtItsNthCallTheDaemonKeepsItsWord(t *testing.T) {
	seed := setting(t, "CRASH_SEED", rand.Uint64())
	t.Parallel()
	depth := int(setting(t, "CRASH_DEPTH", 40))
	limit := time.Duration(setting(t, "CRASH_SECONDS", 60)) * time.Second
	t.Logf("seed %d; another run like it: CRASH_SEED=%d CRASH_DEPTH=%d CRASH_SECONDS=%.0f go test -tags crash -count=1 -v -timeout 0 ./integration/inject -run %s", seed, seed, depth, limit.Seconds(), t.Name())
	bin := build(t)
	var faults []Fault
	if one := os.Getenv("CRASH_FAULT"); one != "" {
		faults = []Fault{parseFault(t, one)}
	} else {
		faults = allFaults(seed, depth)
	}
	begin := time.Now()
	x := &tally{n: map[string]int{}}
	next := make(chan Fault)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for f := range next {
				if err := round(t, bin, seed, f, x); err != nil {
					t.Errorf("%s: %v\nto repeat it: CRASH_SEED=%d CRASH_FAULT=%s go test -tags crash -count=1 -v ./integration/inject -run %s", f, err, seed, f, t.Name())
				}
			}
		})
	}
	rounds := 0
	for _, f := range faults {
		if time.Since(begin) > limit {
			break
		}
		next <- f
		rounds++
	}
	close(next)
	all.Wait()
	t.Logf("%d of %d rounds in %.0f s", rounds, len(faults), time.Since(begin).Seconds())
	for _, k := range slices.Sorted(maps.Keys(x.n)) {
		t.Logf("%6d  %s", x.n[k], k)
	}
}

// The one error that a daemon outlives: it opens its spool again, as at a start, and again for as long as there is no
// room for that either. It pauses 5 s before each time, so this takes its time.
func TestDiskThatIsFullForAWhileIsOutlived(t *testing.T) {
	t.Parallel()
	seed := setting(t, "CRASH_SEED", rand.Uint64())
	t.Logf("seed %d; another run like it: CRASH_SEED=%d go test -tags crash -count=1 -v ./integration/inject -run %s", seed, seed, t.Name())
	bin := build(t)
	x := &tally{n: map[string]int{}}
	when := 4 + int(seed%8)
	for _, f := range []Fault{
		{Call: "pwrite64", Do: enospc, When: when, More: 1},
		{Call: "fallocate", Do: enospc, When: 1 + int(seed%5), More: 3},
	} {
		if err := round(t, bin, seed, f, x); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	t.Logf("%v", x.n)
}

// allFaults is every call with every fault, in a random order: a run that has no time for all takes a sample.
func allFaults(seed uint64, depth int) []Fault {
	var out []Fault
	for _, call := range calls {
		for _, do := range call.fault {
			for n := 1; n <= min(depth, call.most); n++ {
				out = append(out, Fault{Call: call.name, Do: do, When: n})
			}
		}
	}
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func parseFault(t *testing.T, s string) Fault {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		t.Fatalf("CRASH_FAULT=%s", s)
	}
	f := Fault{Call: parts[0], Do: parts[1]}
	from, to, several := strings.Cut(strings.TrimPrefix(parts[2], "when="), "..")
	n, err := strconv.Atoi(from)
	if err != nil {
		t.Fatal(err)
	}
	f.When = n
	if several {
		last, err := strconv.Atoi(to)
		if err != nil {
			t.Fatal(err)
		}
		f.More = last - n
	}
	return f
}

// round is one spool: sometimes a life before, one with the fault, one or two after.
func round(t *testing.T, bin string, seed uint64, f Fault, x *tally) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rng := rand.New(rand.NewPCG(seed, uint64(f.When)<<8|uint64(len(f.Call)+len(f.Do))))
	dir, err := os.MkdirTemp(t.TempDir(), "round")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "spool")
	c := NewClient()
	switch rng.IntN(3) {
	case 0:
		if err := quiet(ctx, bin, path, c, 1+rng.IntN(8)); err != nil {
			return fmt.Errorf("the life before: %w", err)
		}
	case 1: // then the fault meets what a kill has left
		before := Fault{Call: calls[rng.IntN(4)].name, Do: kill, When: 1 + rng.IntN(12)}
		if err := faulty(ctx, bin, path, dir, c, before, rng, &tally{n: map[string]int{}}); err != nil {
			return fmt.Errorf("the life before, %s: %w", before, err)
		}
	}
	if err := faulty(ctx, bin, path, dir, c, f, rng, x); err != nil {
		return err
	}
	if err := quiet(ctx, bin, path, c, 2); err != nil {
		return fmt.Errorf("the life after: %w", err)
	}
	return compare(path, c)
}

// quiet is a life without a fault: it repeats what was not answered, sends a little more, compares what the daemon and ls
// say with what was answered, and stops.
func quiet(ctx context.Context, bin, path string, c *Client, requests int) (err error) {
	d, err := Start(bin, path, nil, "")
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
		err = accepted(ctx, bin, path, len(c.Want()))
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
func accepted(ctx context.Context, bin, path string, want int) error {
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
func faulty(ctx context.Context, bin, path, dir string, c *Client, f Fault, rng *rand.Rand, x *tally) error {
	d, err := Start(bin, path, &f, dir)
	if err != nil {
		return err
	}
	ready, err := d.Ready(ctx)
	if err != nil {
		return err
	}
	refused := ""
	for i := 0; ready && i < 25+4*f.When; i++ {
		ok, said := c.Next(ctx, d, 1+rng.IntN(3), rng.IntN(6000))
		if ok && refused != "" && f.Do != enospc {
			return fmt.Errorf("answered 2xx after %s\n%s", refused, stop(d))
		}
		if !ok {
			refused = said
		}
		if !ok && f.Do == enospc {
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

// verdict compares how the life ended with how it must.
func verdict(d *Daemon, f Fault, ready bool, refused string, x *tally) error {
	ended := d.Ended(0)
	if !ended && refused != "" && f.Do != enospc {
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
		if refused != "" && f.Do != enospc {
			return fmt.Errorf("lives on after %s (injected: %s)\n%s", refused, line, log)
		}
		if injected == 0 {
			x.add("not reached: %s", f.Call)
			return nil
		}
		if f.Do == enospc {
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
	case f.Do == enospc && (ready || d.Code() != exitTemporary && d.Code() != exitIO):
		return fmt.Errorf("ended %s with code %d after %s\n%s", when, d.Code(), line, d.Log())
	case f.Do != enospc && d.Code() != exitIO:
		return fmt.Errorf("ended %s with code %d and not %d after %s\n%s", when, d.Code(), exitIO, line, d.Log())
	}
	// What follows a failed write or sync may cover up that the disk has lost what was before it.
	if writes := f.Call == "pwrite64" || f.Call == "fdatasync" || f.Call == "fsync"; f.Do == eio && writes {
		if after := d.Written(); after != "" {
			return fmt.Errorf("after %s it goes on: %s", line, after)
		}
	}
	x.add("ended: %s %s %s", f.Call, f.Do, when)
	return nil
}

// compare reads the spool and finds each record that was answered, once, and no other.
func compare(path string, c *Client) (err error) {
	s, r, err := bolt.Open(bolt.Options{Path: path, MinFreeBytes: -1})
	if err != nil {
		return err
	}
	go func() {
		for commit := range s.Commits() {
			commit.Release()
		}
	}()
	defer func() {
		if closed := s.Close(context.Background()); err == nil {
			err = closed
		}
	}()
	got := map[string]int{}
	var buf []byte
	for at := spool.Index(0); len(r.Lanes) > 0; {
		sections, next, b, err := s.Read(r.Lanes[0].ID, at, 1<<20, buf)
		if err != nil {
			return err
		}
		if len(sections) == 0 {
			break
		}
		for i := range sections {
			for rest := sections[i].Bytes; len(rest) > 0; {
				var e spool.Entry
				if e, rest, err = spool.NextEntry(rest); err != nil {
					return err
				}
				rec, err := e.Record()
				if err != nil {
					return err
				}
				got[string(bytes.Clone(rec.Value))]++
			}
		}
		buf, at = b, next
	}
	want := c.Want()
	if !maps.Equal(got, want) {
		return fmt.Errorf("%d records in the spool, not the %d that were answered%s", len(got), len(want), firstDifference(got, want))
	}
	return nil
}

func firstDifference(got, want map[string]int) string {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			return fmt.Sprintf("; %.40s is there %d times", k, got[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if got[k] != want[k] {
			return fmt.Sprintf("; %.40s is there %d times, not %d", k, got[k], want[k])
		}
	}
	return ""
}
