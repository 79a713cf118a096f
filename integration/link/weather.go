package link

import (
	"math/rand/v2"
	"time"
)

// Swarm draws a mix: each fault is off in one of three mixes, else rare or common.
func Swarm(r *rand.Rand) Mix {
	m := Mix{Hold: between(r, 50*time.Millisecond, 2*time.Second), Delay: between(r, 10*time.Millisecond, time.Second),
		After: between(r, 10*time.Millisecond, 8*time.Second)}
	most := map[Fault]float64{
		DropRequest: 0.04, DropAnswer: 0.06, HoldAnswer: 0.05, DelayRequest: 0.05, CutRequest: 0.04,
		CutAnswer: 0.04, Reset: 0.04, Blackhole: 0.005, Duplicate: 0.1, Zombie: 0.3,
	}
	for f := Pass + 1; f <= Zombie; f++ {
		if r.IntN(3) > 0 {
			m.Chance[f] = most[f] * r.Float64()
		}
	}
	return m
}

// Storm changes the weather every few seconds, until stop is closed: each link gets a mix of the swarm. Now and then
// all connections are cut at once, and now and then nothing happens. Heal ends what is left of it.
func Storm(stop <-chan struct{}, weather *rand.Rand, links ...*Link) {
	for {
		for _, l := range links {
			m := Swarm(weather)
			if weather.IntN(6) == 0 {
				m = Mix{}
			}
			l.SetMix(m)
			if weather.IntN(4) == 0 {
				l.Cut()
			}
		}
		timer := time.NewTimer(between(weather, time.Second, 4*time.Second))
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return
		}
	}
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}
