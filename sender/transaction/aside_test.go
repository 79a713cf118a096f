package transaction

import (
	"errors"
	"strings"
	"testing"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// All units of the topic waited, also those that were spooled before it, and an operator could only put all of them aside.
func TestARecordForAMissingPartitionKeepsWhatIsBehindIt(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(t, seed, int16(1+seed%2), "a", "b")
		w.longest = 900_000
		w.spooled(2, 0)
		w.spooled(1, 0, 1)
		w.wants = 8
		w.spooled(2, 1, 0) // the unit that cannot leave
		w.wants = 0
		w.spooled(1, 0)
		w.spooled(1, 1)
		w.slowly(60_000, func() bool { return w.settled[0] == 3 && w.settled[1] == 1 })
		for n := 0; w.step(); n++ {
			if n > 200 {
				t.Fatalf("seed %d: after 200 steps there is still something to do, and no time has passed", seed)
			}
		}
		if why := w.s.Status(w.now).Topics[0].Trouble; !strings.Contains(why, "partition 7") && !strings.Contains(why, "topic b") {
			t.Fatalf("seed %d: trouble of a: %q", seed, why)
		}
		topic := "a"
		if w.s.byTopic["a"].missing < 0 {
			topic = "b" // which of them it was found in depends on which was read first
		}
		var none *sender.ResolveError
		if _, _, err := w.s.Resolve(w.now, topic, 0, sender.ResolveDeadLetter); !errors.As(err, &none) || !none.Nothing {
			t.Fatalf("seed %d: resolve %s:0: %v", seed, topic, err)
		}
		if x := w.s.Waiting(topic, 0, sender.ResolveDeadLetter); x != nil {
			t.Fatalf("seed %d: waits for partition 0: %+v", seed, x)
		}
		x := w.s.Waiting(topic, 7, sender.ResolveDeadLetter)
		if x == nil {
			t.Fatalf("seed %d: nothing of %s waits for partition 7", seed, topic)
		}
		w.swept(x)
		w.slowly(60_000, func() bool { return w.settled[0] == 6 && w.settled[1] == 4 })
		if w.dead != 4 {
			t.Fatalf("seed %d: %d records are dead letters, want the 4 of one unit", seed, w.dead)
		}
	}
}

// swept puts aside what x means.
func (w *world) swept(x *sender.Waiting) {
	var b []byte
	for _, e := range w.entries[x.Lane] {
		b = append(b, e...)
	}
	all := spool.Span{End: spool.Index(len(w.entries[x.Lane]))}
	e, _ := w.s.Sweep(w.now, x, []spool.Section{{Lane: x.Lane, Spans: []spool.Span{all}, Bytes: b}}, true)
	w.do(e)
}
