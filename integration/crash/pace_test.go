package crash

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestHoldWaitsForWhatWasBegunAndLetsNothingBeginUntilGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		stop := make(chan struct{})
		defer close(stop)
		if !p.enter(t.Context(), stop) {
			t.Fatal("a request may not begin, and nobody holds it")
		}
		held := make(chan error, 1)
		go func() { held <- p.Hold(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-held:
			t.Fatalf("Hold() = %v while a request is under way", err)
		default:
		}
		entered := make(chan bool, 1)
		go func() { entered <- p.enter(t.Context(), stop) }()
		p.leave()
		if err := <-held; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case <-entered:
			t.Fatal("a request began while all were held")
		default:
		}
		p.Go()
		if !<-entered {
			t.Fatal("no request may begin after Go")
		}
		p.leave()
	})
}

func TestHoldEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.enter(t.Context(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Hold(ctx); err == nil {
			t.Fatal("Hold() = nil, and a request is under way")
		}
	})
}

func TestAClientThatIsHeldEndsWithStop(t *testing.T) {
	for _, first := range []string{"hold", "stop"} {
		var p Pace
		stop := make(chan struct{})
		if first == "hold" {
			if err := p.Hold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		if p.enter(t.Context(), stop) {
			t.Errorf("%s: a request began after stop", first)
		}
		if p.busy != 0 {
			t.Errorf("%s: %d requests are under way, want 0", first, p.busy)
		}
	}
}
