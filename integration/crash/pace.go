package crash

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Pace is how fast the clients of all Loads that share it go. The zero Pace, and none, leave
// them as they are. Safe for concurrent use.
type Pace struct {
	mu     sync.Mutex
	factor float64       // of the time that a client thinks; 0 stands for 1
	held   chan struct{} // not nil: no request is begun until it is closed
	busy   int           // requests under way
}

// Set makes clients think so many times as long as they otherwise would.
func (p *Pace) Set(factor float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.factor = factor
}

// Hold lets clients finish what they have begun, and waits for that; they begin nothing new until Go.
func (p *Pace) Hold(ctx context.Context) error {
	p.mu.Lock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
	p.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		n := p.busy
		p.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("crash: %d requests are not answered: %w", n, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Go lets clients begin requests again.
func (p *Pace) Go() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

func (p *Pace) of(think time.Duration) time.Duration {
	if p == nil {
		return think
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.factor == 0 {
		return think
	}
	return time.Duration(p.factor * float64(think))
}

// enter waits while clients are held, and counts a request until leave. It reports false when stop
// or ctx has ended: there is no request then.
func (p *Pace) enter(ctx context.Context, stop <-chan struct{}) bool {
	for {
		held := p.count()
		select {
		case <-stop:
		case <-ctx.Done():
		default:
			if held == nil {
				return true
			}
			select {
			case <-held:
			case <-stop:
			case <-ctx.Done():
			}
			continue
		}
		if held == nil {
			p.leave()
		}
		return false
	}
}

// count counts a request, or returns what it has to wait for.
func (p *Pace) count() (held <-chan struct{}) {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.busy++
		return nil
	}
	return p.held
}

func (p *Pace) leave() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
}
