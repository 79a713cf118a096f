package loop

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoold/spoold/sender"
)

// Time is synctest's here: hours pass in no time.

func TestAnIdleLoopSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, nil)
		r.core.on("start", sender.Effects{Events: []sender.Event{sender.LinkChanged{}}})
		r.loop.Run()
		synctest.Wait()
		before := r.store.asked.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.store.asked.Load() - before; n > 62 {
			t.Errorf("the loop woke %d times in an hour with nothing to do, want at most once a minute", n)
		}
	})
}

func TestConnectionsThatAreIdleAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxIdle: 9 * time.Minute}, nil)
		w := newFakeWire()
		r.connected(t, w)
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		if w.Err() != nil {
			t.Error("the connection was closed before connections.max.idle.ms")
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if !errors.Is(w.Err(), errIdle) {
			t.Errorf("the connection's end is %v, want %v", w.Err(), errIdle)
		}
		r.core.expect(t, "disconnected 1")
	})
}

func TestABrokerThatClosesEveryConnectionIsDialledAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, nil)
		r.loop.opt.ReconnectBackoff, r.loop.opt.ReconnectMax = 50*time.Millisecond, time.Second
		again := sender.Effects{Requests: []sender.Request{{ID: 9, Kind: sender.KindConnect, Broker: 1}}}
		for range 1000 {
			r.core.on("disconnected", again)
		}
		w := newFakeWire()
		r.connected(t, w)
		w.Close(errors.New("closed by the broker"))
		const seconds = 60
		dials := 0
		for range seconds * 10 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			select {
			case <-r.dials:
				dials++
				w := newFakeWire()
				r.wires <- w
				synctest.Wait()
				w.Close(errors.New("closed by the broker"))
			default:
			}
			for len(r.core.calls) > 0 {
				<-r.core.calls
			}
		}
		if dials < seconds/2 || dials > seconds*2 {
			t.Errorf("%d dials in %d s, want about one a second", dials, seconds)
		}
	})
}
