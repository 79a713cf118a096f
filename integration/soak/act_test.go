//go:build crash

package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// card is one piece of trouble. It is over, and everything as before, when it returns.
type card struct {
	name string
	play func(*rig, *rand.Rand) error
	ends bool // it ends the daemon: not for epochs in which nothing does
}

// lane is one line of trouble after the other. There are two: what befalls the daemon, its links and its disk, and
// what befalls brokers.
type lane struct {
	deck *Deck[card]
	dice *rand.Rand
}

type lanes struct{ daemon, brokers lane }

func newLanes(r *rig, dice func(stream uint64) *rand.Rand) lanes {
	daemon := []card{
		{"calm", calm, false}, {"kills", flurry, true}, {"stops", stops, true}, {"freeze", freeze, false},
		{"links refuse", refuse, false}, {"links hang", hang, false}, {"weather", weather, false}, {"disk full", fillUp, false},
		{"growth", grow, false},
	}
	brokers := []card{{"broker kill", brokerKill, false}, {"broker stop", brokerStop, false}, {"broker freeze", brokerFreeze, false}}
	if r.long {
		daemon = append(daemon, card{"kills", flurry, true}, card{"kills, one by one", spread, true}, card{"weather", weather, false})
		brokers = append(brokers, card{"broker kill", brokerKill, false}, card{"broker kill", brokerKill, false}, card{"roll", roll, false})
	}
	return lanes{
		daemon:  lane{NewDeck(dice(1), daemon...), dice(4)},
		brokers: lane{NewDeck(dice(2), brokers...), dice(5)},
	}
}

// act makes trouble for a while: both lanes at once, each card after the other. In a short run it is each card once.
func (r *rig) act() error {
	until := time.Now().Add(r.seconds(r.lanes.daemon.dice, 0, 0, 60, 180))
	if until.After(r.ends) {
		until = r.ends
	}
	var wg sync.WaitGroup
	play := func(l *lane) {
		for first := true; first || time.Now().Before(until) || !r.long && l.deck.Rest() > 0; first = false {
			if r.ctx.Err() != nil || r.interrupted.Err() != nil {
				return
			}
			c := l.deck.Deal()
			if c.ends && r.gentle {
				c = card{"calm", calm, false}
			}
			r.note("begins: %s", c.name)
			if err := c.play(r, l.dice); err != nil {
				r.fail(err)
				return
			}
			r.note("is over: %s", c.name)
		}
	}
	wg.Go(func() { play(&r.lanes.brokers) })
	play(&r.lanes.daemon)
	wg.Wait()
	return context.Cause(r.ctx)
}
