//go:build crash

package lossy

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// episode ends with a power cut, and a daemon that takes records again. They are dealt from a deck, so
// that even a short run has each kind.
func (r *rig) episode() error {
	odds := 4
	if r.severed {
		odds = 2
	}
	if r.rand.IntN(odds) == 0 {
		if err := r.sever(!r.severed); err != nil {
			return err
		}
	}
	if len(r.deck) == 0 {
		r.deck = r.shuffled()
	}
	next := r.deck[0]
	r.deck = r.deck[1:]
	return next()
}

// shuffled is a new deck.
func (r *rig) shuffled() []func() error {
	warm := r.rand.IntN(2) == 0
	deck := []func() error{
		func() error { return r.fail(Sync, true) },
		func() error { return r.fail(Sync, false) },
		func() error { return r.fail(Write, warm) },
		func() error { return r.fail(SyncDir, !warm) },
		func() error { return r.full([]Call{Write, Allocate}[r.rand.IntN(2)]) },
	}
	for len(deck) < 20 {
		deck = append(deck, r.cut)
	}
	r.rand.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// cut lets the daemon work a while and cuts the power: at some time, or at some call.
func (r *rig) cut() error {
	d := r.between(10*time.Millisecond, 200*time.Millisecond)
	if r.rand.IntN(2) == 0 {
		m := Moment{Call: rare[r.rand.IntN(len(rare))], N: 1, Done: r.rand.IntN(2) == 0}
		if m.Call == "" {
			m.N += r.rand.IntN(100)
		} else {
			m.N += r.rand.IntN(3)
			m.Later = r.rand.IntN(2) * r.rand.IntN(8)
			d *= 2
		}
		if err := r.disk.Arm(&m); err != nil {
			return err
		}
	}
	if _, err := r.live(d); err != nil {
		return err
	}
	if r.rand.IntN(2) == 0 { // either way it is one instant: see doc.go
		if err := r.daemon.Freeze(); err != nil {
			return err
		}
	}
	if err := r.strike(); err != nil {
		return err
	}
	return r.begin()
}

// sever takes the broker away, or gives it back: then a backlog grows, of several segments.
func (r *rig) sever(away bool) error {
	r.severed = away
	for _, l := range r.cluster.Links() {
		if !away {
			if err := l.Heal(); err != nil {
				return err
			}
			continue
		}
		l.Refuse()
		r.tally["broker taken away for a while"]++
	}
	return nil
}

// rare are the calls at which the power is cut: any, or those that are seldom under way.
var rare = []Call{"", "", Sync, SyncDir, Create, Rename, Unlink, Allocate}

// fail lets a call fail, of which the daemon must end with code 74 and answer nothing any more. Then the power is
// cut: at once, or while the next daemon starts, on the page cache that the failure has left.
func (r *rig) fail(call Call, warm bool) error {
	reached, err := r.failure(Fault{Call: call, Errno: syscall.EIO, N: 1 + r.rand.IntN(8)})
	if err != nil || !reached {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	code, err := r.daemon.Wait(ctx)
	if err != nil {
		return violation{fmt.Errorf("after a failed %s: %w\n%s", r.stopped.Load().what, err, r.daemon.Tail())}
	}
	if code != exitIO {
		return violated("after a failed %s the daemon ended with code %d, not %d\n%s", call, code, exitIO, r.daemon.Tail())
	}
	if err := errors.Join(r.check(), r.disk.Fail()); err != nil {
		return err
	}
	if warm {
		r.tally["start on the page cache of a failed "+string(call)]++
		r.stopped.Store(nil)
		if err := r.disk.Arm(&Moment{N: 1 + r.rand.IntN(max(r.calls, 24)), Done: r.rand.IntN(2) == 0}); err != nil {
			return err
		}
		if err := r.daemon.Start(); err != nil {
			return err
		}
		if _, err := r.ready(); err != nil {
			return err
		}
	}
	if err := r.strike(); err != nil {
		return err
	}
	return r.begin()
}

// failure waits until a fault was met. From then on no request may be answered with 2xx.
func (r *rig) failure(f Fault) (reached bool, err error) {
	if err := r.disk.Fail(f); err != nil {
		return false, err
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case n := <-r.disk.Notices:
		if n.Failed == "" {
			return false, fmt.Errorf("notice %+v where a fault was due", n)
		}
		r.stopped.Store(&failed{at: time.Now(), what: n.Failed})
		return true, nil
	case <-timer.C:
	}
	if err := errors.Join(r.disk.Fail(), r.check()); err != nil {
		return false, err
	}
	select {
	case n := <-r.disk.Notices: // at the last moment
		r.stopped.Store(&failed{at: time.Now(), what: n.Failed})
		return true, nil
	default:
		r.tally["fault that nothing met within a second"]++
		return false, nil
	}
}

// full fills the disk up for a while, and cuts the power. The daemon must not end of it.
func (r *rig) full(call Call) error {
	if err := r.disk.Fail(Fault{Call: call, Errno: syscall.ENOSPC, N: 1 + r.rand.IntN(20), More: -1}); err != nil {
		return err
	}
	for deadline := time.Now().Add(r.between(50*time.Millisecond, 400*time.Millisecond)); time.Now().Before(deadline); {
		if _, err := r.live(time.Until(deadline)); err != nil {
			return err
		}
	}
	if err := r.strike(); err != nil {
		return err
	}
	return r.begin()
}
