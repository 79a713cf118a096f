package loop

import (
	"context"
	"errors"

	"github.com/spoold/spoold/sender"
)

// ErrOver says that the loop has ended.
var ErrOver = errors.New("ended")

// Over is closed when the loop has ended, whatever ended it.
func (l *Loop) Over() <-chan struct{} { return l.over }

// Err is why the loop ended: nil after Close. It may be asked once Over is closed.
func (l *Loop) Err() error {
	select {
	case <-l.over:
		return l.err
	default:
		return nil
	}
}

// Close seals nothing new, sends what is sealed, waits for answers until ctx ends, and
// ends the loop. What was not answered stays spooled, and is resolved at the next
// start. The store must still take Writes: it is closed after the loop.
func (l *Loop) Close(ctx context.Context) {
	l.inbox.post(func() {
		if !l.closing {
			l.closing = true
			l.carry(l.core.Closing(l.now))
		}
	})
	select {
	case <-l.over:
	case <-ctx.Done():
		l.inbox.post(func() { l.finish(nil) })
		<-l.over
	}
}

// Flush waits until everything that was committed when the store counted accepted
// records has been acked or dead-lettered. Batches do not linger meanwhile.
func (l *Loop) Flush(ctx context.Context, accepted uint64) error {
	w := &flushWaiter{accepted: accepted, done: make(chan struct{})}
	if !l.inbox.post(func() {
		l.progress.waiters = append(l.progress.waiters, w)
		l.checkFlush()
	}) {
		return ErrOver
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		l.inbox.post(func() { l.progress.drop(w) })
		return context.Cause(ctx)
	case <-l.over:
		return ErrOver
	}
}

func (l *Loop) checkFlush() {
	if l.progress.check() && !l.closing && !l.finished {
		l.carry(l.core.Flush(l.now))
	}
}

// stop carries out Effects.Stop: nothing more is sent, and once the Write beside
// it is durable the loop ends. The core repeats Stop with every call.
func (l *Loop) stop(e *sender.Effects) {
	if e.Write != nil {
		l.stopAfter = e.Write.ID
	}
	l.closing, l.stopWith = true, e.Stop
	if l.writes.durable >= l.stopAfter {
		l.finish(e.Stop)
	}
}

// checkQuiet ends a closing loop when no seal and no answer that could settle
// anything is under way.
func (l *Loop) checkQuiet() {
	if !l.closing || l.stopWith != nil || l.writes.awaited > l.writes.durable || l.busy() {
		return
	}
	if _, producing := l.links.outstanding(); producing > 0 {
		return
	}
	l.finish(nil)
}

// busy reports whether the core has something to finish that takes more than the answers
// to what was produced: a transaction.
func (l *Loop) busy() bool {
	core, ok := l.core.(interface{ Busy() bool })
	return ok && core.Busy() && l.stopWith == nil
}

// finish makes run return after the case at hand; the first reason counts.
func (l *Loop) finish(err error) {
	if !l.finished {
		l.finished, l.err = true, err
	}
}

// end waits for everything that the loop started.
func (l *Loop) end() {
	l.publish()
	l.timer.Stop()
	l.inbox.close()
	l.links.close()
	l.feeder.close()
	l.encoder.close()
}
