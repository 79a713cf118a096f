package httpin

import (
	"math"
	"net/http"
	"time"
)

// Principal is who sends a request, and what they may send.
type Principal interface {
	Name() string
	MaySend(topic string) bool
	// Wait is how long it is until the principal may send again; 0: now.
	Wait(now time.Time) time.Duration
	// Spend counts what was sent.
	Spend(now time.Time, records int, bytes int64)
}

// Denial is why a request is refused before it is looked at.
type Denial struct {
	Status     int // 401, 403 or 429
	Message    string
	RetryAfter int // seconds; 0: no such header
	Challenge  []string
}

func (d *Denial) fault() *fault {
	code := map[int]int{http.StatusUnauthorized: 40101, http.StatusForbidden: 40301, http.StatusTooManyRequests: 42906}[d.Status]
	f := faultf(d.Status, code, "%s", d.Message).retryAfter(d.RetryAfter).closing()
	if d.Status == http.StatusUnauthorized {
		f.challenge = d.Challenge
	}
	return f
}

// maySend refuses a topic that the principal may not send to.
func (p *parse) maySend(topic string) *fault {
	if p.who == nil || p.who.MaySend(topic) {
		return nil
	}
	return faultf(403, 40301, "User %s may not send to topic %q: nothing was spooled", clip(p.who.Name()), clip(topic))
}

// mayEnter refuses a principal who has sent more than is allowed and must wait.
func (p *parse) mayEnter() *fault {
	if p.who == nil {
		return nil
	}
	wait := p.who.Wait(time.Now())
	if wait == 0 {
		return nil
	}
	return faultf(429, 42907, "User %s has sent more than the limit allows: nothing was spooled, send again in %v", clip(p.who.Name()), wait.Round(time.Millisecond)).
		retryAfter(int(math.Ceil(wait.Seconds()))).closing()
}

// spend charges the principal for what was read.
func (p *parse) spend() {
	if p.who != nil {
		p.who.Spend(time.Now(), len(p.records), p.size)
	}
	p.size = 0
}
