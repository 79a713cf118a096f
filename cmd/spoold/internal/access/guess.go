package access

import (
	"container/list"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Wrong credentials that may come from one guesser: so many at once, then one in so long.
const (
	guessBurst = 10
	guessEvery = 5 * time.Second
	maxGuests  = 4096 // guessers that are remembered; beyond it, the one that guessed longest ago is forgotten
)

// guesser is who sends wrong credentials: an address and a user's name. So one wrong setting does not keep out all others behind
// the same proxy.
type guesser struct {
	from netip.Prefix
	user string // "": no user has the name
}

// ofTokens is the user of wrong tokens, which name nobody.
const ofTokens = "\x00token"

// guesses counts wrong credentials. Safe for concurrent use.
type guesses struct {
	mu    sync.Mutex
	by    map[guesser]*list.Element
	order list.List // of *guessed; the last one guessed most recently
}

type guessed struct {
	by   guesser
	left *rate.Limiter
}

// network is what counts as one address: an IPv6 host commonly has all of a /64. What is no address (a unix
// socket) counts as one.
func network(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits) // the length fits the address
	return p
}

// wait is how long a guesser must wait before its next credentials may be looked at; 0: not at all.
func (g *guesses) wait(by guesser, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.by[by]
	if e == nil {
		return 0
	}
	have := e.Value.(*guessed).left.TokensAt(now)
	if have >= 1 {
		return 0
	}
	return time.Duration(math.Ceil((1 - have) * float64(guessEvery)))
}

// wrong counts a guess. first reports whether it is the first one that is remembered of its guesser.
func (g *guesses) wrong(by guesser, now time.Time) (first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.by[by]
	if e == nil {
		if g.by == nil {
			g.by = map[guesser]*list.Element{}
		}
		if g.order.Len() >= maxGuests {
			delete(g.by, g.order.Remove(g.order.Front()).(*guessed).by)
		}
		e = g.order.PushBack(&guessed{by, rate.NewLimiter(rate.Every(guessEvery), guessBurst)})
		g.by[by] = e
		first = true
	}
	e.Value.(*guessed).left.AllowN(now, 1)
	g.order.MoveToBack(e)
	return first
}
