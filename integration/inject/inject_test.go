//go:build crash

package inject

import (
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

	"github.com/spoold/spoold/integration/proof"
)

const (
	exitIO        = 74
	exitTemporary = 75 // the disk is full
)

const (
	kill   = "signal=KILL"
	eio    = "error=EIO"
	enospc = "error=ENOSPC"
)

// calls are what a spool is written with, and how many of them a thread may make in a life: strace
// counts by thread. "write" is pwrite64: a spool has no other.
var calls = []struct {
	name  string
	most  int
	fault []string
}{
	{"fdatasync", 1000, []string{kill, eio}},
	{"pwrite64", 1000, []string{kill, eio}},
	{"fsync", 70, []string{kill, eio}},
	{"openat", 100, []string{kill, eio}},
	{"renameat", 30, []string{kill, eio}},
	{"unlinkat", 30, []string{kill, eio}},
	{"fallocate", 60, []string{kill, eio}},
	{"ftruncate", 30, []string{kill, eio}},
	{"pread64", 12, []string{eio}},
	{"fdatasync", 20, []string{enospc}},
}

// A daemon outlives these. It pauses 5 s before it opens its spool again, so each takes its time.
var fullDisks = []struct {
	name string
	most int
	more int // calls after it that fail, too
}{{"pwrite64", 24, 1}, {"fallocate", 24, 3}, {"renameat", 12, 1}}

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

// scratch is a directory in memory where there is one: what a real disk adds to a round is waiting.
func scratch(t *testing.T) string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "inject-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// tally counts rounds by what came of them.
type tally struct {
	mu       sync.Mutex
	n        map[string]int
	injected map[string]int // by call and fault
	rounds   int
	empty    int // in which nothing was injected
	repeats  int // requests that were sent again
}

func newTally() *tally { return &tally{n: map[string]int{}, injected: map[string]int{}} }

func (x *tally) add(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n[fmt.Sprintf(format, args...)]++
}

func (x *tally) reached(f Fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.injected[f.Call+" "+f.Do]++
}

// pool does rounds, several at a time, until there are no more or time is up.
type pool struct {
	t     *testing.T
	bin   string
	dir   string
	seed  uint64
	limit time.Duration
	began time.Time
	said  time.Time
	x     *tally
	all   sync.WaitGroup
}

// run does as many rounds as there is time for.
func (p *pool) run(faults []Fault, workers int) {
	p.t.Helper()
	next := make(chan Fault)
	for range workers {
		p.all.Go(func() {
			for f := range next {
				if err := round(p.t, p.bin, p.dir, p.seed, f, p.x); err != nil {
					p.t.Errorf("%s: %v\nto repeat it: CRASH_SEED=%d CRASH_FAULT=%s go test -tags crash -count=1 -v ./integration/inject -run %s", f, err, p.seed, f, p.t.Name())
				}
				p.progress(len(faults))
			}
		})
	}
	for _, f := range faults {
		if time.Since(p.began) > p.limit || p.t.Failed() {
			break
		}
		next <- f
	}
	close(next)
}

func (p *pool) progress(of int) {
	p.x.mu.Lock()
	defer p.x.mu.Unlock()
	p.x.rounds++
	if time.Since(p.said) > 10*time.Second {
		p.said = time.Now()
		p.t.Logf("%d rounds in %.0f s (%d in this part of the table), nothing injected in %d", p.x.rounds, time.Since(p.began).Seconds(), of, p.x.empty)
	}
}

func TestKilledOrFailedAtItsNthCallTheDaemonKeepsItsWord(t *testing.T) {
	seed := proof.Setting(t, "CRASH_SEED", rand.Uint64())
	depth := int(proof.Setting(t, "CRASH_DEPTH", 300))
	seconds := proof.Setting(t, "CRASH_SECONDS", 40)
	t.Logf("seed %d; another run like it: CRASH_SEED=%d CRASH_DEPTH=%d CRASH_SECONDS=%d go test -tags crash -count=1 -v -timeout 0 ./integration/inject -run %s", seed, seed, depth, seconds, t.Name())
	run := proof.Begin("injected-faults", "Faults at the Nth system call", fmt.Sprintf("CRASH_SEED=%d CRASH_DEPTH=%d make inject", seed, depth))
	p := &pool{t: t, bin: build(t), dir: scratch(t), seed: seed, limit: time.Duration(seconds) * time.Second, began: time.Now(), said: time.Now(), x: newTally()}
	total := 0
	if one := os.Getenv("CRASH_FAULT"); one != "" {
		p.run([]Fault{parseFault(t, one)}, 1)
	} else {
		faults, full := allFaults(seed, depth), allFullDisks(seed)
		total = len(faults) + len(full)
		var both sync.WaitGroup
		both.Go(func() { p.run(full, 3) }) // they wait most of the time
		p.run(faults, 2)
		both.Wait()
	}
	p.all.Wait()
	if t.Failed() {
		run.Violations = 1
	}
	x := p.x
	run.What = what
	run.NotCovered = notCovered
	run.Count("rounds", x.rounds)
	run.Count("of a table of", total)
	run.Count("rounds in which the fault came too late to be injected", x.empty)
	run.Count("requests that were sent again", x.repeats)
	for k, n := range x.injected {
		run.Inject(k, n)
	}
	for _, k := range slices.Sorted(maps.Keys(x.n)) {
		t.Logf("%6d  %s", x.n[k], k)
	}
	t.Logf("%d of %d rounds in %.0f s, nothing injected in %d; %d requests sent again", x.rounds, total, time.Since(p.began).Seconds(), x.empty, x.repeats)
	if t.Failed() {
		return
	}
	if err := run.Keep(); err != nil {
		t.Fatal(err)
	}
}

const what = `The real daemon under strace, which kills it, or has a call fail, at its Nth system call on a file of the spool (the
thread's Nth). A violation: a record that was answered 2xx is missing, is there twice or differs in a byte after every unanswered request was
repeated with its Idempotency-Key; a request is answered 2xx after an error of the disk; a segment is written to after a failed write or
sync; the process ends with another code than 74; it does not outlive a disk that is full for a while.`

var notCovered = []string{
	"Injected faults: no broker is reached, so nothing leaves the spool: faults while segments are given back are met by the crash states and by the rigs with Kafka.",
	"Injected faults: strace counts calls by thread; with several threads N is where, not exactly which.",
}

// allFaults is every call with every fault. They are in a random order, and each kind has its turn: a run that has no time for all takes
// a sample of each.
func allFaults(seed uint64, depth int) []Fault {
	rng := rand.New(rand.NewPCG(seed, 1))
	var kinds [][]Fault
	for _, call := range calls {
		for _, do := range call.fault {
			var one []Fault
			for n := 1; n <= min(depth, call.most); n++ {
				one = append(one, Fault{Call: call.name, Do: do, When: n})
			}
			rng.Shuffle(len(one), func(i, j int) { one[i], one[j] = one[j], one[i] })
			kinds = append(kinds, one)
		}
	}
	return inTurn(kinds)
}

func allFullDisks(seed uint64) []Fault {
	rng := rand.New(rand.NewPCG(seed, 2))
	var kinds [][]Fault
	for _, call := range fullDisks {
		var one []Fault
		for n := 1; n <= call.most; n++ {
			one = append(one, Fault{Call: call.name, Do: enospc, When: n, More: rng.IntN(call.more + 1)})
		}
		rng.Shuffle(len(one), func(i, j int) { one[i], one[j] = one[j], one[i] })
		kinds = append(kinds, one)
	}
	return inTurn(kinds)
}

// inTurn takes one of each, then another one of each.
func inTurn(kinds [][]Fault) (out []Fault) {
	for i, more := 0, true; more; i++ {
		more = false
		for _, one := range kinds {
			if i < len(one) {
				out, more = append(out, one[i]), true
			}
		}
	}
	return out
}

func parseFault(t *testing.T, s string) Fault {
	t.Helper()
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
