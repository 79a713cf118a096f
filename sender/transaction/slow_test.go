package transaction

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/sender"
)

// slowly has the cluster answer each Produce after some time, and everything else at once, until done is true.
func (w *world) slowly(ms int64, done func() bool) {
	type held struct {
		r  sender.Request
		at int64
	}
	var slow []held
	for range 20_000 {
		if done() {
			for _, x := range slow {
				w.requests = append(w.requests, x.r)
			}
			return
		}
		now := w.requests
		w.requests = nil
		for _, r := range now {
			if r.Kind == sender.KindProduce {
				slow = append(slow, held{r, w.now.Age + ms})
				continue
			}
			w.do(w.s.Handle(w.now, w.answer(&r)))
		}
		if len(now) > 0 || len(w.writes)+len(w.feeds) > 0 && w.step() {
			continue
		}
		w.now.Age += 1000
		w.do(w.s.Tick(w.now))
		for len(slow) > 0 && slow[0].at <= w.now.Age {
			r := slow[0].r
			slow = slow[1:]
			w.do(w.s.Handle(w.now, w.answer(&r)))
		}
	}
	w.t.Fatalf("it never came to pass: %+v %+v", w.s.Status(w.now).Topics, w.s.Status(w.now).Transaction)
}

// A unit that does not end in time gets more of it, up to what the brokers allow, and is parked after two tries with that: with
// the rate that it would need. Other topics go on.
func TestAUnitThatCannotEndInTimeIsParkedWithItsRate(t *testing.T) {
	w := newWorld(t, 1, 2, "a", "b")
	w.longest = 300_000
	w.spooled(3, 0)
	parked := func(topic int) string {
		for _, x := range w.s.Status(w.now).Topics {
			if x.Topic == w.topics[topic] && x.State == "parked" {
				return x.Detail
			}
		}
		return ""
	}
	w.slowly(3_600_000, func() bool { return parked(0) != "" })
	if why := parked(0); !strings.Contains(why, "bytes a second") || !strings.Contains(why, "transaction.max.timeout.ms") {
		t.Errorf("parked: %s", why)
	}
	if most := w.s.starter.machine().TimeoutMs; most != 60_000 {
		t.Errorf("the next transaction asks for %d ms", most)
	}
	w.spooled(2, 1)
	w.slowly(1000, func() bool { return w.settled[1] == 2 })
	if parked(0) == "" {
		t.Error("it is not parked any more")
	}
	e, _, err := w.s.Resolve(w.now, "a", -1, sender.ResolveResend)
	if err != nil {
		t.Fatal(err)
	}
	w.do(e)
	w.slowly(1000, func() bool { return w.settled[0] == 3 })
}
