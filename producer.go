package spoold

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/internal/quietlog"
	"github.com/spoold/spoold/protocol/conn/secure"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
)

// Producer is an open spool and what delivers from it. Its methods are safe for
// concurrent use.
type Producer struct {
	cfg       Config
	env       Env
	keeper    *secure.Keeper // certificates and credentials
	limits    atomic.Pointer[limits]
	callbacks *callbacks
	room      roomLog
	rules     recordRules
	opened    time.Time

	plain        bool // neither interceptors nor a tracer
	interceptors *interceptors
	chooser      *chooser
	counts       *partitionCounts
	telemetry    *telemetry
	meter        *meter
	observer     observer

	engines engines
	life    *lifetime

	units     unitMemory // of open transactions
	observed  openTransactions
	deadTopic *deadTopic // nil: dead letters stay in the spool
}

// current is the engine that takes records now.
func (p *Producer) current() (*engine, error) {
	if p.life.ending.Load() { // every Send comes by here
		if err := p.life.refusal(); err != nil {
			return nil, err
		}
	}
	return p.engines.now.Load(), nil
}

// Done is closed when the Producer takes and delivers nothing any more: after Close,
// or when it had to stop. Then Err says why.
func (p *Producer) Done() <-chan struct{} { return p.life.done }

// Err is why the Producer stopped by itself: nil while it runs and after Close. It is
// an ErrUnknown after a failure of the disk, an ErrForeign when somebody else used its identity
// (a copied or rolled-back spool), or what else ExitCode has a code for.
func (p *Producer) Err() error { return p.life.reason() }

// Flush waits until everything that was sent before the call has been acked or
// dead-lettered; batches do not linger meanwhile. The context bounds the wait: without
// a cluster it would last for ever.
func (p *Producer) Flush(ctx context.Context) error {
	for {
		e, err := p.current()
		if err != nil {
			return err
		}
		err = e.flush(ctx)
		if err == nil || ctx.Err() != nil {
			return public(err)
		}
		if err = p.afterRefusal(ctx, e, err); err != nil {
			return err
		}
	}
}

// closeGrace is how long Close waits beyond its context for the last commit, which needs
// no cluster, and for callbacks that run.
const closeGrace = time.Second

// Close takes nothing more, waits for answers that are under way until ctx ends, writes
// down what they said, and closes the spool. What is not acked then stays spooled for
// the next Open. It does not wait for the backlog: Flush does.
//
// When ctx has ended, nothing more is sent, and the last commit and a callback that runs get one more second. If that is not
// enough (a disk that does not answer, a callback that does not return, or Close called from a callback or a
// hook), Close returns the context's error, and the rest goes on: Done is closed when the spool is,
// and Close may be called again to wait. Otherwise it returns what Err does. Closing twice is no error.
// Safe for concurrent use.
func (p *Producer) Close(ctx context.Context) error {
	p.life.closeOnce.Do(func() { go p.shut() })
	select {
	case <-p.life.closed:
		return p.Err()
	case <-ctx.Done():
	}
	p.life.hurryOnce.Do(func() { close(p.life.hurry) })
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-p.life.closed:
		return p.Err()
	case <-grace.C:
		return fmt.Errorf("the producer is still being closed: %w", context.Cause(ctx))
	}
}

// shut is Close, once. A goroutine of its own runs it.
func (p *Producer) shut() {
	defer close(p.life.closed)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.life.hurry:
			cancel()
		case <-p.life.closed:
		}
	}()
	p.life.ending.Store(true)
	close(p.life.quit)
	p.telemetry.wait()
	p.deadTopic.wait()
	for { // a spool that was just opened again is closed, too
		e := p.engines.now.Load()
		e.loop.Close(ctx)
		<-e.replaced
		if e == p.engines.now.Load() {
			break
		}
	}
	<-p.life.done
	p.observed.close(p)
	p.callbacks.close()
	p.interceptors.close()
	p.chooser.close()
	quietlog.Flush(p.env.Logger.Handler())
}

// ResolveChoice is an operator's word for records in doubt on a parked partition.
type ResolveChoice string

// Choices of Resolve.
const (
	Resend     ResolveChoice = "resend"      // send them again: may duplicate
	Delivered  ResolveChoice = "delivered"   // count them as acked: may lose
	DeadLetter ResolveChoice = "dead-letter" // put them aside, and with them what waits and cannot leave

	// DeadLetterWaiting is DeadLetter, and puts aside all that waits behind it as well.
	DeadLetterWaiting ResolveChoice = "dead-letter-waiting"
)

// Resolution is what Resolve did.
type Resolution struct {
	Partitions []int32 // that were parked, and are not any more
	Records    int     // that were in doubt there, or waited and were put aside
}

// Resolve releases a parked partition, or all of a topic's with partition -1. It speaks of
// sealed records in doubt; those behind them are delivered as always. DeadLetter also puts aside records that wait and
// cannot leave: for a topic that is gone or may not be written, or a partition that the topic does not have.
// DeadLetterWaiting does so with everything of the topic or partition that waits. It returns when choice and
// effect are on disk. A *ResolveError says that nothing was parked or waits there, that the choice is none, or that it has to be
// tried again, and nothing was changed; ErrClosed and the context's error leave open whether it was done, and what was begun goes on.
// Safe for concurrent use.
func (p *Producer) Resolve(ctx context.Context, topic string, partition int32, c ResolveChoice) (Resolution, error) {
	e, err := p.current()
	if err != nil {
		return Resolution{}, err
	}
	r, err := e.loop.Resolve(ctx, topic, partition, sender.Choice(c))
	if errors.Is(err, loop.ErrOver) && !p.life.ending.Load() {
		return Resolution{}, fmt.Errorf("resolve: the spool is opened again after a full disk, look at the status: %w", ErrUnknown)
	}
	return Resolution(r), public(err)
}

// Note is the value of a note that was committed with records, and whether there is one.
func (p *Producer) Note(name string) ([]byte, bool) {
	return p.engines.now.Load().store.Note(name)
}

// Notes are the notes whose names begin with prefix, as they were last committed, by name. It looks at
// every note of the spool.
func (p *Producer) Notes(prefix string) map[string][]byte {
	return p.engines.now.Load().store.Notes(prefix)
}

// Warnings are remarks on the configuration (see Config.Warnings).
func (p *Producer) Warnings() []string { return p.cfg.Warnings() }
