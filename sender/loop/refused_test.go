package loop

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// idleLinks are those of a loop that does not run.
func idleLinks(opt Options) *links {
	opt.ReconnectBackoff, opt.ReconnectMax = time.Millisecond, 2*time.Millisecond
	return newLinks(&opt, newInbox(), &spool.Time{})
}

// pauses are those after n failures of one kind in a row.
func pauses(l *links, broker int32, err error, n int) (list []time.Duration) {
	for range n {
		l.failed(broker, err)
		list = append(list, time.Duration(l.pace(broker).notUntil-l.now.Age)*time.Millisecond)
	}
	return list
}

func TestABrokerThatRefusesIsAskedEverMoreSeldom(t *testing.T) {
	l := idleLinks(Options{})
	refused := &conn.SecurityError{Addr: "a:1", What: "it refuses the credentials"}
	for i, d := range pauses(l, 1, refused, 40) {
		want := min(firstRefused<<min(i, 10), mostRefused)
		if d != want {
			t.Errorf("pause %d is %v, want %v", i, d, want)
		}
	}
	for i, d := range pauses(l, 1, errors.New("connection refused"), 3) {
		if d > 10*time.Millisecond {
			t.Errorf("pause %d after an ordinary failure is %v", i, d)
		}
	}
	if d := pauses(l, 1, refused, 1)[0]; d != firstRefused {
		t.Errorf("the first refusal after that pauses %v", d)
	}
	passing := &conn.SecurityError{Addr: "a:1", What: "it ended the connection", Passing: true}
	if d := pauses(l, 2, passing, 1)[0]; d > 10*time.Millisecond {
		t.Errorf("what passes by itself pauses %v", d)
	}
	if l.pace(1).next.NextBackOff() == backoff.Stop {
		t.Error("attempts end")
	}
}

func TestCredentialsThatChangeEndThePauseAfterARefusal(t *testing.T) {
	var stamp atomic.Uint64
	l := idleLinks(Options{Stamp: stamp.Load})
	time.AfterFunc(20*time.Millisecond, func() { stamp.Store(1) })
	began := time.Now()
	if err := l.sleepUntilChange(time.Hour.Milliseconds(), 0); err != nil || time.Since(began) > patience {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := l.sleepUntilChange(time.Hour.Milliseconds(), 0); err != nil {
		t.Errorf("where they have changed already: %v", err)
	}
	l.cancel()
	if err := l.sleepUntilChange(time.Hour.Milliseconds(), 1); err == nil {
		t.Error("goes on after the loop's end")
	}
}

// A refusal says more than that another server is not there, whichever was asked last.
func TestARefusalIsReportedBeforeSilence(t *testing.T) {
	refused := &conn.SecurityError{Addr: "seed1:1", What: "it refuses the credentials"}
	r := newRig(t, Options{}, nil)
	faults := []error{refused, errors.New("connection refused")}
	dial := r.loop.opt.dial
	r.loop.opt.dial = func(ctx context.Context, addr string, d time.Duration) (wire, error) {
		if len(faults) == 0 {
			return dial(ctx, addr, d)
		}
		err := faults[0]
		faults = faults[1:]
		return nil, err
	}
	r.core.on("start", sender.Effects{Requests: []sender.Request{control(1, sender.AnyBroker)}})
	r.loop.Run()
	r.core.expect(t, "start", "handle 1 error")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		r.core.mu.Lock()
		last := r.core.last
		r.core.mu.Unlock()
		switch {
		case last.ID == 1 && (!errors.Is(last.Err, refused) || !strings.Contains(last.Err.Error(), "can be used")):
			t.Fatalf("answered %v", last.Err)
		case last.ID == 1:
			return
		case time.Now().After(deadline):
			t.Fatal("no answer came")
		}
	}
}
