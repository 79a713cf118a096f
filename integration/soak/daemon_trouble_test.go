//go:build crash

package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/link"
)

// calm makes no trouble. Clients are as busy as ever, in a hurry, or have little to say.
func calm(r *rig, dice *rand.Rand) error {
	r.pace.Set([]float64{1, 0.3, 6}[dice.IntN(3)])
	defer r.pace.Set(1)
	return r.wait(r.seconds(dice, 0.5, 1, 5, 20))
}

// flurry kills the daemon again and again, as a supervisor's restarts would meet an out-of-memory killer.
func flurry(r *rig, dice *rand.Rand) error {
	n := 4
	if r.long {
		n = 8 + dice.IntN(13)
	}
	for range n {
		if err := r.wait(r.seconds(dice, 0.05, 0.8, 0.05, 2.5)); err != nil {
			return err
		}
		if err := r.killer.Kill(r.ctx); err != nil {
			return err
		}
	}
	return nil
}

// spread kills it now and then.
func spread(r *rig, dice *rand.Rand) error {
	for range 3 {
		if err := r.wait(r.seconds(dice, 1, 2, 4, 12)); err != nil {
			return err
		}
		if err := r.maybeKill(); err != nil {
			return err
		}
	}
	return nil
}

// maybeKill kills the daemon, unless nothing may in this epoch.
func (r *rig) maybeKill() error {
	if r.gentle {
		return nil
	}
	return r.killer.Kill(r.ctx)
}

// stops ends the daemon as an operator does.
func stops(r *rig, dice *rand.Rand) error {
	for range 2 {
		end := r.book.Begin(Stop)
		if err := r.killer.Stop(); err != nil {
			return err
		}
		if err := r.killer.Start(r.ctx); err != nil {
			return err
		}
		end()
		if err := r.wait(r.seconds(dice, 0.2, 0.5, 1, 5)); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops the process as a suspended machine does.
func freeze(r *rig, dice *rand.Rand) error {
	defer r.book.Begin(Freeze)()
	if err := r.daemon.Freeze(); err != nil {
		return err
	}
	if err := r.wait(r.seconds(dice, 1, 2, 1, 12)); err != nil {
		return err
	}
	return r.daemon.Thaw()
}

func refuse(r *rig, dice *rand.Rand) error { return r.outage(dice, LinkRefuses, (*link.Link).Refuse) }

func hang(r *rig, dice *rand.Rand) error { return r.outage(dice, LinkHangs, (*link.Link).Hang) }

// outage breaks all links. Clients hurry, so that a backlog piles up; then they pause, and a daemon that cannot
// reach anybody must not be busy. Now and then it is killed with all of the backlog.
func (r *rig) outage(dice *rand.Rand, kind string, fault func(*link.Link)) error {
	aim, hurry := int64(16<<20), 0.1
	if r.long {
		aim = 32<<20 + dice.Int64N(192<<20)
	}
	kill := dice.IntN(2) == 0
	most := r.seconds(dice, 3, 4, 15, 60)
	end := r.book.Begin(kind)
	for _, f := range r.cluster.Links() {
		fault(f)
	}
	r.pace.Set(hurry)
	began := time.Now()
	err := r.await(most+time.Minute, "a backlog", func() (bool, error) {
		_, st := r.watch.Latest()
		return st.SpoolBytes >= aim || time.Since(began) > most, nil
	})
	r.pace.Set(1)
	if err == nil && kill {
		err = r.maybeKill()
	}
	if err == nil {
		err = r.busy(kind)
	}
	_, st := r.watch.Latest()
	r.figure.backlog(st)
	for _, f := range r.cluster.Links() {
		if herr := f.Heal(); err == nil {
			err = herr
		}
	}
	end()
	if err == nil && r.long && dice.IntN(2) == 0 {
		err = r.catchUp(st)
	}
	return err
}

// catchUp waits until a backlog is delivered, while clients send and brokers may be in trouble.
func (r *rig) catchUp(was crash.Status) error {
	began := time.Now()
	err := r.await(r.patience(was.SpoolBytes), fmt.Sprintf("to deliver most of %d records, %d bytes", was.Pending, was.SpoolBytes), func() (bool, error) {
		_, st := r.watch.Latest()
		return st.Acked >= was.Accepted-was.Pending/10, nil
	})
	if err == nil {
		r.figure.drained(time.Since(began), was.Pending, was.SpoolBytes)
	}
	return err
}

// busyLimit is what a daemon without clients may use of a core while nobody can be reached. It is generous: a loop that
// spins uses all of one.
const busyLimit = 0.4

// busy looks at the daemon's CPU while clients pause.
func (r *rig) busy(kind string) error {
	if err := r.pace.Hold(r.ctx); err != nil {
		return err
	}
	defer r.pace.Go()
	if err := r.wait(time.Second); err != nil { // what they had sent is on disk, and read back
		return err
	}
	before, err := r.daemon.Use()
	if err != nil {
		return err
	}
	began := time.Now()
	d := 1500 * time.Millisecond
	if r.long {
		d = 5 * time.Second
	}
	if err := r.wait(d); err != nil {
		return err
	}
	after, err := r.daemon.Use()
	if err != nil {
		return err
	}
	share := (after.CPU - before.CPU).Seconds() / time.Since(began).Seconds()
	r.figure.awayCPU = max(r.figure.awayCPU, share)
	if share > busyLimit {
		return fmt.Errorf("soak: %s, no client sends, and the daemon uses %.0f %% of a core", kind, 100*share)
	}
	return nil
}

// weather lets proxies break requests and answers one by one for a while, and kills the daemon meanwhile.
func weather(r *rig, dice *rand.Rand) (err error) {
	defer r.book.Begin(Weather)()
	before := r.broken()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	clouds := rand.New(rand.NewPCG(dice.Uint64(), 0))
	wg.Go(func() { link.Storm(stop, clouds, r.cluster.Links()...) })
	defer func() {
		close(stop)
		wg.Wait()
		for _, l := range r.cluster.Links() {
			if herr := l.Heal(); err == nil {
				err = herr
			}
		}
	}()
	kills := dice.IntN(2)
	if r.long {
		kills = dice.IntN(6)
	}
	for range kills {
		if err := r.wait(r.seconds(dice, 1, 2, 1, 8)); err != nil {
			return err
		}
		if err := r.maybeKill(); err != nil {
			return err
		}
	}
	if err := r.wait(r.seconds(dice, 3, 4, 5, 25)); err != nil {
		return err
	}
	return r.await(time.Minute, "some broken requests", func() (bool, error) { return r.broken() > before+2, nil })
}

// broken is how many requests and answers proxies broke in this epoch.
func (r *rig) broken() int {
	var c link.Counts
	for _, f := range r.cluster.Links() {
		c.Add(f.Counts())
	}
	return c.Total()
}

// fillUp lets something else take the disk: new records are refused, and delivery goes on. When there is room again,
// records are taken again.
func fillUp(r *rig, dice *rand.Rand) error {
	leave := []int64{0, 1 << 20, minFree / 2}[dice.IntN(3)]
	kill := dice.IntN(2) == 0
	hold := r.seconds(dice, 1.5, 2, 5, 20)
	defer r.book.Begin(DiskFull)()
	refused := r.refused()
	_, before := r.watch.Latest()
	fill := func() error { return r.disk.Fill(leave) } // again and again: what the spool gives back is taken, too
	err := r.await(30*time.Second, "a refusal on a full disk", func() (bool, error) {
		_, st := r.watch.Latest()
		return st.SpoolFull != "" && r.refused() > refused, fill()
	})
	if err != nil {
		return err
	}
	if kill {
		if err := r.maybeKill(); err != nil {
			return err
		}
	}
	began := time.Now()
	err = r.await(hold+2*time.Minute, "delivery from a full disk", func() (bool, error) {
		_, st := r.watch.Latest()
		return time.Since(began) > hold && (st.Acked > before.Acked || st.Pending == 0), fill()
	})
	if err != nil {
		return err
	}
	if err := r.disk.Empty(); err != nil {
		return err
	}
	taken := r.answered()
	return r.await(30*time.Second, "records to be taken after the disk had room again", func() (bool, error) { return r.answered() > taken, nil })
}

// refused is how often clients were told that the spool is full, in this epoch.
func (r *rig) refused() int64 {
	n := int64(0)
	for _, t := range r.topics {
		n += t.load.Refused()
	}
	return n
}

// grow adds a partition to the topic that may have more.
func grow(r *rig, _ *rand.Rand) error {
	for _, t := range r.topics {
		if !t.grows || t.partitions >= 12 {
			continue
		}
		t.ledger.Grew()
		t.partitions++
		r.book.Once(Growth)
		// The broker that is asked may have just started and know neither the topic nor how many partitions it has, and while one is away there
		// are too few for the replicas: in each case nothing is done.
		err := r.await(3*time.Minute, "one partition more for "+t.name, func() (bool, error) {
			answers, err := r.cluster.Admin().CreatePartitions(r.ctx, 1, t.name)
			if err == nil {
				err = answers.Error()
			}
			if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.InvalidPartitions) || errors.Is(err, kerr.InvalidReplicationFactor) {
				return false, nil
			}
			return true, err
		})
		if err != nil {
			return fmt.Errorf("soak: one partition more for %s: %w", t.name, err)
		}
	}
	return nil
}
