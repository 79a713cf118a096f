package access

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limit is how much a user may send. A request is let in while nothing is owed, and is charged whole when its size is known:
// so one that is larger than a second's worth goes through, and those behind it wait until it is paid off. A nil limit
// limits nothing. Safe for concurrent use.
type limit struct {
	perSecond [2]int64 // records, bytes; 0: no limit

	mu      sync.Mutex
	buckets [2]*rate.Limiter // nil: no limit
}

func newLimit(records, bytes int64) *limit {
	if records == 0 && bytes == 0 {
		return nil
	}
	l := &limit{perSecond: [2]int64{records, bytes}}
	for i, n := range l.perSecond {
		if n > 0 {
			l.buckets[i] = rate.NewLimiter(rate.Limit(n), int(n))
		}
	}
	return l
}

// continues takes over what the user of that name owes, if the limits are the same.
func (l *limit) continues(former *users, name string) {
	if l == nil || former == nil || former.byName[name] == nil {
		return
	}
	if f := former.byName[name].limit; f != nil && f.perSecond == l.perSecond {
		f.mu.Lock()
		defer f.mu.Unlock()
		l.buckets = f.buckets
	}
}

// maxOwed bounds what one request costs: nobody is kept out for longer.
const maxOwed = time.Minute

// Wait is how long the user must wait before the next request; 0: not at all.
func (u *User) Wait(now time.Time) time.Duration {
	l := u.limit
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	for i, b := range l.buckets {
		if b != nil {
			if have := b.TokensAt(now); have <= 0 {
				wait = max(wait, time.Duration((1-have)/float64(l.perSecond[i])*float64(time.Second)))
			}
		}
	}
	return min(wait, maxOwed)
}

// Spend charges the user for a request that was let in.
func (u *User) Spend(now time.Time, records int, bytes int64) {
	l := u.limit
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, n := range [2]int64{int64(records), bytes} {
		b := l.buckets[i]
		if b == nil {
			continue
		}
		n = min(n, l.perSecond[i]*int64(maxOwed/time.Second))
		for n > 0 { // a reservation is at most a second's worth; further ones are owed
			part := min(n, l.perSecond[i])
			b.ReserveN(now, int(part))
			n -= part
		}
	}
}
