package spoold

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// lifetime is how far a Producer has come on the way to its end, and why it ends. Safe for concurrent use.
type lifetime struct {
	ending atomic.Bool   // quit or done is closed, or about to be
	done   chan struct{} // closed when nothing is taken or delivered any more
	quit   chan struct{} // closed when Close begins
	hurry  chan struct{} // closed when a Close's context has ended
	closed chan struct{} // closed when nothing of the Producer is left

	closeOnce, hurryOnce sync.Once

	mu  sync.Mutex
	err error // why it ended; nil after Close
}

func newLifetime() *lifetime {
	return &lifetime{done: make(chan struct{}), quit: make(chan struct{}), hurry: make(chan struct{}), closed: make(chan struct{})}
}

// refusal is why nothing is taken any more, or nil.
func (l *lifetime) refusal() error {
	select {
	case <-l.done:
		if err := l.reason(); err != nil {
			return err
		}
		return ErrClosed
	case <-l.quit:
		return ErrClosed
	default:
		return nil
	}
}

// reason is why the Producer stopped by itself, or nil.
func (l *lifetime) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// stopped ends the Producer; the first reason counts.
func (l *lifetime) stopped(err error) {
	l.mu.Lock()
	if l.err == nil && err != nil {
		l.err = fmt.Errorf("stopped: %w", err)
	}
	l.mu.Unlock()
	l.ending.Store(true)
	close(l.done)
}
