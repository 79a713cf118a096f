package spoold

import (
	"context"
	"sync"
	"time"
)

// SendFunc is Send with a callback: f is called once with what Delivery.Acked would return.
// Callbacks run one after the other on a goroutine of their own, those of one partition in
// order; a slow one delays the others and, once callbacks.max are outstanding, SendFunc
// itself, which waits at most max.block.ms (ErrFull). After a crash f is gone, and its record is
// delivered all the same: Hooks.BatchAcked reports it. If SendFunc returns an error, f is not
// called. Safe for concurrent use.
func (p *Producer) SendFunc(ctx context.Context, r Record, f func(Ack, error)) error {
	if p.plain {
		_, err := p.sendFunc(ctx, &r, f)
		return err
	}
	if f == nil {
		f = func(Ack, error) {} // it is one of callbacks.max all the same
	}
	_, err := p.sendObserved(ctx, r, f)
	return err
}

func (p *Producer) sendFunc(ctx context.Context, r *Record, f func(Ack, error)) (Delivery, error) {
	if err := p.callbacks.enter(ctx, p.cfg.MaxBlock); err != nil {
		return Delivery{}, err
	}
	d, err := p.send(ctx, r)
	if err != nil {
		p.callbacks.leave(1)
		return Delivery{}, err
	}
	p.callbacks.add(callback{delivery: d, f: f})
	return d, nil
}

// callbacks runs the functions of SendFunc. Its goroutine looks at what is
// outstanding whenever something was acked: at the oldest ones as a rule, and at all of
// them now and then, since a stuck topic must not hide the others.
type callbacks struct {
	hooks *Hooks        // for panics
	slots chan struct{} // one token per outstanding callback
	wake  chan struct{} // something was acked, or added
	quit  chan struct{}
	once  sync.Once
	ended sync.WaitGroup

	mu    sync.Mutex
	added []callback
}

type callback struct {
	delivery Delivery
	f        func(Ack, error)
	left     *int // callbacks that share one slot and have not been called; nil: it has its own

	// What a look found.
	ack      Ack
	err      error
	answered bool
}

const (
	callbackWindow = 1024 // how far a quick look goes past the oldest unanswered
	callbackSweep  = 20 * time.Millisecond
)

func newCallbacks(most int64, hooks *Hooks) *callbacks {
	c := &callbacks{hooks: hooks, slots: make(chan struct{}, most), wake: make(chan struct{}, 1), quit: make(chan struct{})}
	c.ended.Go(c.run)
	return c
}

// enter takes a slot.
func (c *callbacks) enter(ctx context.Context, wait time.Duration) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-t.C:
		return errCallbacksFull
	case <-c.quit:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *callbacks) leave(n int) {
	for range n {
		<-c.slots
	}
}

func (c *callbacks) add(more ...callback) {
	c.mu.Lock()
	c.added = append(c.added, more...)
	c.mu.Unlock()
	c.poke()
}

// poke makes the goroutine look. It never blocks.
func (c *callbacks) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *callbacks) run() {
	var waiting []callback
	var swept time.Time
	sweep := time.NewTimer(time.Hour)
	defer sweep.Stop()
	for over := false; !over; {
		select {
		case <-c.wake:
		case <-sweep.C:
		case <-c.quit:
			over = true
		}
		c.mu.Lock()
		waiting = append(waiting, c.added...)
		clear(c.added)
		c.added = c.added[:0]
		c.mu.Unlock()

		all := over || time.Since(swept) >= callbackSweep
		waiting = c.look(waiting, all, over)
		if all {
			swept = time.Now()
		} else {
			sweep.Reset(callbackSweep)
		}
	}
}

// look calls what is answered and returns the rest. all: in one window, however much waits.
// over: everything is answered by now, if only by ErrClosed.
func (c *callbacks) look(waiting []callback, all, over bool) []callback {
	for {
		window := waiting
		if !all && len(window) > callbackWindow {
			window = window[:callbackWindow]
		}
		// From the newest to the oldest: whatever was acked before something that is
		// seen to be acked is seen, too. So those of a partition are called in order.
		for i := len(window) - 1; i >= 0; i-- {
			w := &window[i]
			w.ack, w.err, w.answered = w.delivery.TryAcked()
			if !w.answered && over {
				w.err, w.answered = ErrClosed, true
			}
		}
		kept := window[:0]
		for _, w := range window {
			if !w.answered {
				kept = append(kept, w)
				continue
			}
			c.call(w)
		}
		rest := waiting[len(window):]
		if len(kept) == 0 && len(rest) > 0 {
			clear(window)
			waiting = rest
			continue
		}
		n := len(kept) + copy(waiting[len(kept):], rest)
		clear(waiting[n:])
		return waiting[:n]
	}
}

// call runs one callback. One that panics is reported.
func (c *callbacks) call(w callback) {
	if w.left != nil {
		*w.left--
	}
	if w.left == nil || *w.left == 0 {
		defer c.leave(1)
	}
	if w.f == nil {
		return
	}
	defer c.hooks.recovered("callback")
	w.f(w.ack, w.err)
}

// close calls the callbacks that are outstanding and ends the goroutine.
func (c *callbacks) close() {
	c.once.Do(func() { close(c.quit) })
	c.ended.Wait()
}
