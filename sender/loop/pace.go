package loop

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/spoold/spoold/protocol/conn"
)

// pace is how soon a broker is dialled again, and how long that may take.
type pace struct {
	next     backoff.BackOff
	notUntil int64 // Age
	failures int
	refused  int    // failures in a row that last until somebody changes something (conn.Lasting)
	stamp    uint64 // of what connections were protected with at the last of them
}

// A broker that refuses this client, or is refused by it, is asked again after firstRefused, and ever more seldom, down to once
// in mostRefused; but at once when credentials or certificates have changed, which is looked for every stampEvery.
const (
	firstRefused = 2 * time.Second
	mostRefused  = 30 * time.Second
	stampEvery   = 500 * time.Millisecond
)

func (ls *links) pace(broker int32) *pace {
	p := ls.paces[broker]
	if p == nil {
		p = &pace{next: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(ls.opt.ReconnectBackoff),
			backoff.WithMaxInterval(ls.opt.ReconnectMax),
			backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))}
		ls.paces[broker] = p
	}
	return p
}

func (ls *links) failed(broker int32, err error) {
	p := ls.pace(broker)
	p.failures++
	pause := min(p.next.NextBackOff(), ls.opt.ReconnectMax) // jitter does not go above it
	if !conn.Lasting(err) {
		p.refused = 0
	} else {
		pause = max(pause, min(firstRefused<<min(p.refused, 10), mostRefused))
		p.refused++
		p.stamp = ls.stamp()
	}
	p.notUntil = ls.now.Age + pause.Milliseconds()
}

func (ls *links) connectTimeout(failures int) time.Duration {
	d := ls.opt.ConnectTimeout
	for range failures {
		if d *= 2; d >= ls.opt.ConnectTimeoutMax {
			return ls.opt.ConnectTimeoutMax
		}
	}
	return d
}
