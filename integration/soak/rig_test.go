//go:build crash

package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "repeats a run's decisions; 0: a new one")
	timeFlag    = flag.Duration("time", 15*time.Second, "how long trouble is made at least; from 5 minutes on it is a long run")
	brokersFlag = flag.Int("brokers", 3, "how many brokers")
	outFlag     = flag.String("out", "", "folder for samples, trouble and logs, in the repository; default: one that is removed")
	watchedFlag = flag.Bool("watched", false, "a page in Chromium, a scraper and an OTLP receiver look at the daemon")
)

// A run from here on takes its time: longer outages, rolling restarts, several epochs.
const longRun = 5 * time.Minute

const (
	diskSize  = 1 << 30
	maxSpool  = 640 << 20
	minFree   = 32 << 20
	anonLimit = 256 << 20 // as in integration/crash, at default settings
	httpBody  = 10 << 20  // http.max.body.bytes
)

// rig is the run.
type rig struct {
	t           *testing.T
	ctx         context.Context
	fail        context.CancelCauseFunc
	interrupted context.Context // ends with Ctrl-C: no new trouble, but everything is compared
	root, out   string
	seed        uint64
	long        bool
	began, ends time.Time

	cluster *kafka.Cluster
	disk    *Disk
	daemon  *crash.Daemon
	killer  *crash.Killer
	pace    *crash.Pace
	book    *Book
	watch   *Watch

	onlookers *onlookers // nil: nobody looks

	trace *Log
	lanes lanes

	requestTimeout time.Duration // of the daemon, in this epoch
	maxSegment     int64         // spool.segment.bytes, in this epoch
	gentle         bool          // nothing ends the daemon in this epoch

	returned atomic.Int64 // nanoseconds: the longest that the brokers took from trouble to be whole again

	mu     sync.Mutex
	epoch  int
	topics []*topic
	past   int // records of the epochs before

	proof  *proof.Run
	figure figures
}

// topic is one of an epoch's.
type topic struct {
	name       string
	partitions int32
	grows      bool
	ledger     *crash.Ledger
	load       *crash.Load
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, seed: *seedFlag, long: *timeFlag >= longRun, pace: &crash.Pace{}}
	if r.seed == 0 {
		r.seed = uint64(time.Now().UnixNano())
	}
	command := fmt.Sprintf("go test -tags crash -count=1 -v -timeout 0 ./integration/soak -time %v -brokers %d -watched=%v -seed %d", *timeFlag, *brokersFlag, *watchedFlag, r.seed)
	t.Logf("seed %d; again: %s", r.seed, command)
	r.proof = proof.Begin("soak", "Real processes in trouble, for long", command)
	var stop context.CancelFunc
	r.interrupted, stop = signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	r.ctx, r.fail = context.WithCancelCause(t.Context())
	t.Cleanup(func() { r.fail(nil) })

	dir := t.TempDir()
	var err error
	r.root, err = proof.Root()
	r.must(err)
	r.out = t.ArtifactDir()
	if *outFlag != "" {
		r.out = filepath.Join(r.root, *outFlag)
		r.must(os.MkdirAll(r.out, 0o755))
	}
	bin, err := crash.Build(r.ctx, r.root, dir)
	r.must(err)
	r.disk, err = NewDisk(r.ctx, dir, diskSize)
	r.must(err)
	opts := kafka.Options{Brokers: *brokersFlag, Faults: true}
	if r.long {
		opts.Props = unhurried
	}
	r.cluster = kafka.Run(t, opts)
	r.daemon, err = crash.NewDaemon(bin, r.disk.Path(), r.cluster.Bootstrap(), nil)
	r.must(err)
	t.Cleanup(r.cleanUp)
	r.open()
	if *watchedFlag {
		r.onlookers = look(r)
	}
	return r
}

// unhurried are brokers of a long run: on a host that is busy with something else they would take each other for dead, elect one
// controller after the other and never be in sync. What they have no patience for is over more slowly then, and still happens.
var unhurried = map[string]string{
	"controller.quorum.fetch.timeout.ms": "5000", "controller.quorum.election.timeout.ms": "2000",
	"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000", "replica.lag.time.max.ms": "10000",
}

// open opens the files, and begins to count the time.
func (r *rig) open() {
	r.t.Helper()
	create := func(name string) *os.File {
		f, err := os.Create(filepath.Join(r.out, name))
		r.must(err)
		r.t.Cleanup(func() { _ = f.Close() }) // each line was written as it came
		return f
	}
	log, err := NewLog(filepath.Join(r.out, "daemon.log"), 256<<20)
	r.must(err)
	r.trace, err = NewLog(filepath.Join(r.out, "trace.log"), 256<<20)
	r.must(err)
	r.daemon.Log = log
	r.began = time.Now()
	r.ends = r.began.Add(*timeFlag)
	r.book = NewBook(r.began, create("trouble.csv"))
	dice := func(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, stream)) }
	r.lanes = newLanes(r, dice)
	r.killer = &crash.Killer{Daemon: r.daemon, Rand: dice(3), Killed: func(early bool) {
		r.book.Once(Kill)
		if early {
			r.book.Once(EarlyKill)
		}
	}}
	r.watch = &Watch{Daemon: r.daemon, Book: r.book, Interval: 200 * time.Millisecond, Out: create("samples.csv"), Answered: r.answered, Written: r.disk.Written, Fail: r.fail}
	if r.long {
		r.watch.Interval = time.Second
	}
}

// limits of this epoch. Memory: as integration/crash has it. Disk: the spool's files may have what spool.max.bytes allows, the free
// pages of a segment that is rewritten and of the one before (one may have been larger in the epoch before), and what is
// owned ahead in both: two of the largest groups (a request's body each), 2 MiB of reserve, a step of 1 MiB.
func (r *rig) limits() Limits {
	const segment = 64 << 20
	return Limits{
		Anon: anonLimit,
		Disk: maxSpool + 2*segment + 2*(2*httpBody+3<<20),
		// 16 as in idle, a file for each segment of a spool that is full, and for each client a connection and two that its
		// patience has left behind. A broker has a connection, one that is dialled and one that ends.
		Descriptors: 16 + int(maxSpool/r.maxSegment) + 3*r.clients() + 3*r.cluster.Brokers() + r.onlookers.descriptors(),
		// Each of GOMAXPROCS has one, and each call that blocks in the kernel: the committer's sync, the reader's, four
		// encoders' at most, and Go's own. More than that is a leak.
		Threads: 24,
		// 100 at rest. A client's connection has two while a request is read, and so have those that its patience has left behind; a
		// broker's has three.
		Routines: 100 + 6*r.clients() + 9*r.cluster.Brokers(),
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// cleanUp runs before the cluster's folder goes.
func (r *rig) cleanUp() {
	if r.daemon.Pid() != 0 {
		if r.t.Failed() {
			r.t.Log(r.daemon.Tail())
			r.examine()
			_ = r.daemon.Freeze() // for a copy of its spool; it may have ended
			kept := filepath.Join(r.out, "spool")
			err := errors.Join(os.RemoveAll(kept), copyFiles(r.daemon.Spool, kept))
			for _, path := range r.cluster.Logs() {
				err = errors.Join(err, copyFile(path, filepath.Join(r.out, filepath.Base(path))))
			}
			if err != nil {
				r.t.Log(err)
			}
			r.t.Logf("spool, logs and samples are in %s (removed without -out)", r.out)
		}
		_ = r.daemon.End() // our own child: fails only when it is gone
	}
	if err := r.disk.Close(); err != nil {
		r.t.Log(err)
	}
}

// copyFiles copies a directory's files.
func copyFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// answered is how many records clients were told are spooled, since the run began.
func (r *rig) answered() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.past
	for _, t := range r.topics {
		sent, _ := t.ledger.Total()
		sum += sent
	}
	return uint64(sum)
}

// over reports whether no new trouble is to begin.
func (r *rig) over() bool { return r.interrupted.Err() != nil || !time.Now().Before(r.ends) }

// note writes a line into the trace.
func (r *rig) note(format string, args ...any) {
	_, _ = fmt.Fprintf(r.trace, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...)) // a line is only missed
}

// await waits until done says so, and looks after daemon and clients meanwhile.
func (r *rig) await(patience time.Duration, what string, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; {
		if err := r.well(); err != nil {
			return err
		}
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("soak: %s: not within %v", what, patience)
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

// wait lets time pass. For the goroutine that has the daemon.
func (r *rig) wait(d time.Duration) error {
	until := time.Now().Add(d)
	return r.await(2*d+time.Minute, "the time", func() (bool, error) { return !time.Now().Before(until), nil })
}

// well notices what should not happen.
func (r *rig) well() error {
	if err := r.daemon.Check(); err != nil {
		return err
	}
	for _, t := range r.topics { // only the goroutine that has the daemon changes it
		if err := t.load.Err(); err != nil {
			return err
		}
	}
	return nil
}

// seconds is a random duration, in a short run and in a long one.
func (r *rig) seconds(dice *rand.Rand, shortLow, shortHigh, longLow, longHigh float64) time.Duration {
	low, high := shortLow, shortHigh
	if r.long {
		low, high = longLow, longHigh
	}
	return time.Duration((low + (high-low)*dice.Float64()) * float64(time.Second))
}
