//go:build crash

package lossy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/powercut"
)

const (
	partitions = 3
	exitIO     = 74
)

// violation is what the daemon must never do. Other errors are the rig's own trouble.
type violation struct{ error }

func violated(format string, args ...any) error { return violation{fmt.Errorf(format, args...)} }

func (v violation) Unwrap() error { return v.error }

// rig is one spool on one disk, from its first start to the comparison: a topic, a daemon, clients, a ledger.
type rig struct {
	ctx     context.Context
	seed    uint64
	rand    *rand.Rand
	set     Setting // of the disk, but for the seed
	disk    *Disk
	cluster *kafka.Cluster
	topic   string
	daemon  *crash.Daemon
	ledger  *crash.Ledger
	load    *crash.Load

	stopped atomic.Pointer[failed] // no request that is sent from then on may be answered with 2xx
	lied    atomic.Pointer[error]  // one was
	late    atomic.Int64           // answers to requests that were sent from then on

	tally    powercut.Tally
	cuts     int
	calls    int  // that the last start made of the disk until it took records
	severed  bool // the broker cannot be reached
	deck     []func() error
	patience time.Duration
}

// failed is a call that has failed, as the rig was told. From then on no new request may be answered with
// 2xx: it would need a commit. A request that is repeated may be, as long as the daemon has not
// understood: what it asks for may be on the disk since a former life. Once it has refused one, none may.
type failed struct {
	at      time.Time
	what    string
	refused atomic.Pointer[time.Time] // when a request that was sent later was
}

func (f *failed) heard(a crash.Answer) error {
	since := f.at
	if a.Again {
		if since = never; f.refused.Load() != nil {
			since = *f.refused.Load()
		}
	}
	switch {
	case a.Status/100 == 2 && a.Sent.After(since):
		return violated("a request (again: %v) that was sent %v after the failed %s was answered with %d", a.Again, a.Sent.Sub(f.at), f.what, a.Status)
	case a.Status >= 500 && a.Sent.After(f.at):
		now := time.Now()
		f.refused.CompareAndSwap(nil, &now)
	}
	return nil
}

var never = time.Unix(1<<40, 0)

// shape is what a seed makes of a rig.
type shape struct {
	clients, size, records int
	think                  time.Duration
	keys                   map[string]string
}

func draw(r *rand.Rand) shape {
	pick := func(options ...int) int { return options[r.IntN(len(options))] }
	return shape{
		clients: pick(4, 12, 24), size: pick(100, 800, 3000), records: pick(1, 4, 12),
		think: time.Duration(pick(2, 10, 30)) * time.Millisecond,
		keys: map[string]string{
			"spool.segment.bytes": fmt.Sprint(pick(64<<10, 64<<10, 512<<10)), "spool.settle.ms": fmt.Sprint(pick(20, 200, 1000)),
			"linger.ms": fmt.Sprint(pick(0, 5)), "idempotency.max.keys": "5000000", "reconnect.backoff.max.ms": "100",
		},
	}
}

// newRig turns on a blank disk.
func newRig(t *testing.T, seed uint64, set Setting) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel) // of clients that still wait
	r := &rig{ctx: ctx, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), set: set,
		cluster: cluster(t), topic: fmt.Sprintf("power-%x", seed), tally: powercut.Tally{}, patience: 30 * time.Second}
	s := draw(r.rand)
	if r.set.SyncTime == 0 {
		r.set.SyncTime = []time.Duration{0, 300 * time.Microsecond, 2 * time.Millisecond}[r.rand.IntN(3)]
	}
	r.ledger = crash.NewLedger(seed, s.clients, s.size)
	dir := t.TempDir()
	var err error
	if r.daemon, err = crash.NewDaemon(binary, dir, r.cluster.Bootstrap(), s.keys); err != nil {
		t.Fatal(err)
	}
	r.load = &crash.Load{Ledger: r.ledger, URL: "http://" + r.daemon.HTTP + "/topics/" + r.topic, Seed: seed,
		Think: s.think, Records: s.records, Answered: r.answered}
	must(t, os.Mkdir(r.daemon.Spool, 0o700))
	if r.disk, err = Open(r.daemon.Spool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.daemon.Pid() != 0 {
			if err := r.daemon.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		must(t, r.disk.Close()) // which ends the calls that the daemon waits for
	})
	must(t, r.sever(false))
	must(t, r.cluster.CreateTopic(r.ctx, r.topic, partitions, nil))
	must(t, r.on())
	t.Logf("seed %d: %+v, syncs of up to %v", seed, s, r.set.SyncTime)
	return r
}

func (r *rig) on() error {
	set := r.set
	set.Seed = r.rand.Uint64()
	return r.disk.On(set)
}

// answered hears every answer that a client gets.
func (r *rig) answered(a crash.Answer) {
	if f := r.stopped.Load(); f != nil {
		if err := f.heard(a); err != nil {
			r.lied.CompareAndSwap(nil, &err)
		}
		if a.Sent.After(f.at) {
			r.late.Add(1)
		}
	}
}

// check looks for what nobody waits for.
func (r *rig) check() error {
	if err := r.lied.Load(); err != nil {
		return *err
	}
	if err := r.load.Err(); err != nil {
		return violation{err}
	}
	return nil
}

// start starts the daemon. One in four is to meet the end of the power before it takes records: dark reports
// that it did.
func (r *rig) start() (dark bool, err error) {
	r.stopped.Store(nil)
	early := r.cuts > 0 && r.rand.IntN(4) == 0 || r.cuts == 0 && r.rand.IntN(2) == 0
	if early {
		if err := r.disk.Arm(&Moment{N: 1 + r.rand.IntN(max(r.calls, 24)), Done: r.rand.IntN(2) == 0}); err != nil {
			return false, err
		}
	}
	if err := r.daemon.Start(); err != nil {
		return false, err
	}
	return r.ready()
}

// ready waits until the daemon takes records, or it is dark.
func (r *rig) ready() (dark bool, err error) {
	patience := time.NewTimer(r.patience)
	defer patience.Stop()
	for {
		select {
		case n := <-r.disk.Notices:
			if n.Dark != "" {
				return true, nil
			}
		case <-r.daemon.Up():
			look, err := r.disk.Look()
			r.calls = look.Calls
			err = errors.Join(err, r.disk.Arm(nil), r.check())
			return r.isDark(), err
		case <-r.daemon.Ended():
			return false, r.gone("at its start")
		case <-patience.C:
			return false, violated("the daemon is not ready\n%s", r.daemon.Tail())
		}
	}
}

// isDark reports whether the disk has told so. What it told before its last answer is heard.
func (r *rig) isDark() bool {
	for len(r.disk.Notices) > 0 {
		if n := <-r.disk.Notices; n.Dark != "" {
			return true
		}
	}
	return false
}

// gone is the end of a daemon that nobody has asked for.
func (r *rig) gone(when string) error {
	code, err := r.daemon.Wait(r.ctx)
	if err != nil {
		return err
	}
	return violated("the daemon ended by itself %s, with code %d\n%s", when, code, r.daemon.Tail())
}

// live lets time pass until it is dark, something fails, or the time is over.
func (r *rig) live(d time.Duration) (n Notice, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case n = <-r.disk.Notices:
		return n, r.check()
	case <-timer.C:
		return n, r.check()
	case <-r.daemon.Ended():
		return n, r.gone("at work")
	}
}

// strike ends the life of daemon and disk, and turns the power on again. It may be dark already.
func (r *rig) strike() error {
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	r.cuts++
	select {
	case <-r.daemon.Up():
		r.tally["cut while at work"]++
	default:
		r.tally["cut before a start took records"]++
		if r.calls == 0 {
			r.tally["cut before the first start had made the spool"]++
		}
	}
	if err := errors.Join(r.disk.Cut(), r.daemon.Signal(syscall.SIGKILL), r.disk.Abandon()); err != nil {
		return err
	}
	code, err := r.daemon.Wait(ctx)
	found := r.daemon.Found()
	switch {
	case err != nil:
		return err
	case code >= 0 && code != exitIO:
		return violated("the daemon ended by itself, with code %d\n%s", code, r.daemon.Tail())
	case code == exitIO && r.stopped.Load() == nil:
		return violated("the daemon ended with code %d, but nothing had failed\n%s", code, r.daemon.Tail())
	case found != nil && found.Seals > 0:
		r.tally["start with batches in doubt"]++
	}
	return r.turn()
}

// turn turns the power off and on. No daemon runs.
func (r *rig) turn() error {
	tally, err := r.disk.Off(r.rand.Uint64())
	if err != nil {
		return err
	}
	for k, n := range tally {
		r.tally[k] += n
	}
	for len(r.disk.Notices) > 0 {
		<-r.disk.Notices // of the life that is over
	}
	return r.on()
}

// begin starts the daemon until it comes up, however often the power is cut meanwhile.
func (r *rig) begin() error {
	for {
		dark, err := r.start()
		if err != nil || !dark {
			return err
		}
		if err := r.strike(); err != nil {
			return err
		}
	}
}

// between is a random duration.
func (r *rig) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.rand.Int64N(int64(high-low)))
}
