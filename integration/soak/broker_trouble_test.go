//go:build crash

package soak

import (
	"context"
	"math/rand/v2"
	"time"
)

// Cards of the brokers' lane. One broker at a time, and the next when all replicas are in sync again: two that are
// killed at once may lose what neither had synced to its disk.

func brokerKill(r *rig, dice *rand.Rand) error {
	return r.down(dice, BrokerKill, r.cluster.Kill)
}

func brokerStop(r *rig, dice *rand.Rand) error {
	return r.down(dice, BrokerStop, r.cluster.Stop)
}

// down ends a broker, and starts it again a little later.
func (r *rig) down(dice *rand.Rand, kind string, end func(int) error) error {
	return r.broker(dice, kind, func(i int) error {
		if err := end(i); err != nil {
			return err
		}
		if err := r.pause(r.seconds(dice, 0, 1, 0.2, 5)); err != nil {
			return err
		}
		return r.cluster.Start(r.ctx, i)
	})
}

// brokerFreeze stops a broker longer than the others have patience for, or shorter.
func brokerFreeze(r *rig, dice *rand.Rand) error {
	return r.broker(dice, BrokerFreeze, func(i int) error {
		if err := r.cluster.Pause(i); err != nil {
			return err
		}
		if err := r.pause(r.seconds(dice, 1, 4, 1, 10)); err != nil {
			return err
		}
		return r.cluster.Resume(i)
	})
}

// broker makes trouble to one broker: mostly to the leader of some partition.
func (r *rig) broker(dice *rand.Rand, kind string, trouble func(int) error) error {
	if err := r.pause(r.seconds(dice, 0.2, 1, 2, 15)); err != nil {
		return err
	}
	t := r.topics[dice.IntN(len(r.topics))]
	i, err := r.cluster.Leader(r.ctx, t.name, dice.Int32N(2)%t.partitions)
	if err != nil {
		return err
	}
	if dice.IntN(4) == 0 {
		i = dice.IntN(r.cluster.Brokers())
	}
	end := r.book.Begin(kind)
	r.note("%s: broker %d", kind, i)
	began := time.Now()
	if err := trouble(i); err != nil {
		return err
	}
	end()
	if err := r.inSync(); err != nil {
		return err
	}
	r.returned.Store(max(r.returned.Load(), int64(time.Since(began))))
	return nil
}

// roll restarts all of them in turn.
func roll(r *rig, dice *rand.Rand) error {
	if err := r.pause(r.seconds(dice, 0, 1, 2, 10)); err != nil {
		return err
	}
	defer r.book.Begin(BrokerRolling)()
	return r.cluster.Roll(r.ctx, func() error { return r.pause(r.seconds(dice, 0.1, 0.5, 0.5, 3)) }, r.names()...)
}

func (r *rig) names() []string {
	var names []string
	for _, t := range r.topics {
		names = append(names, t.name)
	}
	return names
}

func (r *rig) inSync() error {
	for _, name := range r.names() {
		if err := r.cluster.InSync(r.ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// pause lets time pass, for the goroutine that has the brokers.
func (r *rig) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}
