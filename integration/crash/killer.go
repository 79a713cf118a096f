package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Killer ends a daemon again and again, and counts. For one goroutine.
type Killer struct {
	Daemon *Daemon
	Rand   *rand.Rand
	Killed func(early bool) // is told each kill, if not nil; early: within 300 ms of a start

	Kills   int // with SIGKILL
	Early   int // of them, within 300 ms of a start
	Stops   int // with SIGTERM
	InDoubt int // starts that found batches whose fate was not known
}

// readyPatience is how long a start may take on a busy machine.
const readyPatience = 30 * time.Second

// Start starts the daemon and waits until it takes records.
func (k *Killer) Start(ctx context.Context) error {
	if err := k.Daemon.Start(); err != nil {
		return err
	}
	return k.Ready(ctx)
}

// Ready waits until the daemon takes records.
func (k *Killer) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	_, err := k.Daemon.Ready(ctx)
	return err
}

// Kill kills the daemon now and starts it again. One in four of the new lives is ended at
// once, while it recovers.
func (k *Killer) Kill(ctx context.Context) error {
	for again, early := true, false; again; early = true {
		found, err := k.Daemon.Kill()
		if err != nil {
			return err
		}
		k.note(found)
		k.Kills++
		if k.Killed != nil {
			k.Killed(early)
		}
		if err := k.Daemon.Start(); err != nil {
			return err
		}
		if again = k.Rand.IntN(4) == 0; again {
			k.Early++
			if err := k.linger(ctx, time.Duration(k.Rand.Int64N(int64(300*time.Millisecond)))); err != nil {
				return err
			}
		}
	}
	return k.Ready(ctx)
}

// Stop ends the daemon with SIGTERM.
func (k *Killer) Stop() error {
	if err := k.Daemon.Check(); err != nil {
		return err
	}
	if err := k.Daemon.Stop(); err != nil {
		return err
	}
	k.Stops++
	k.note(k.Daemon.Found())
	return nil
}

// note counts what a life said about its start.
func (k *Killer) note(found *Recovery) {
	if found != nil && found.Seals > 0 {
		k.InDoubt++
	}
}

// linger waits without asking whether the daemon is ready.
func (k *Killer) linger(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return k.Daemon.Check()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *Killer) String() string {
	return fmt.Sprintf("%d kills, %d of them within 300 ms of a start; %d starts found batches in doubt", k.Kills, k.Early, k.InDoubt)
}
