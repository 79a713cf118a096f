package sender_test

import (
	"testing"

	"github.com/spoold/spoold/spool"
)

// check reads every log and compares it with what was committed.
func (w *world) check(t *testing.T) {
	t.Helper()
	seen := map[string]int{}
	fail := func(format string, args ...any) {
		for _, l := range w.trace[max(0, len(w.trace)-120):] {
			t.Log(l)
		}
		t.Fatalf(format, args...)
	}
	dead := map[string]bool{}
	for lane, list := range w.disk.dead {
		for _, i := range list {
			e, _, _ := spool.NextEntry(w.disk.entries[lane][i])
			r, _ := e.Record()
			dead[string(r.Value)] = true
		}
	}
	for name, topic := range w.cluster.topics {
		for n, p := range topic.parts {
			var last uint64
			for _, b := range p.log {
				for _, v := range b.values {
					at, ok := w.sent[string(v)]
					if !ok {
						fail("%s-%d: %s is in the log, but was never committed", name, n, v)
					}
					if seen[string(v)]++; seen[string(v)] > 1 {
						fail("%s-%d: %s is in the log twice", name, n, v)
					}
					if at < last {
						fail("%s-%d: %s (%d) after a later record (%d)", name, n, v, at, last)
					}
					last = at
				}
			}
		}
	}
	pending := map[string]bool{}
	for lane, list := range w.disk.entries {
		for i, raw := range list {
			if !w.disk.settled[lane].Contains(spool.Index(i)) {
				e, _, _ := spool.NextEntry(raw)
				r, _ := e.Record()
				pending[string(r.Value)] = true
			}
		}
	}
	for v := range w.sent {
		if pending[v] {
			continue // parked: still in the spool
		}
		if seen[v] == 0 && !dead[v] {
			fail("%s was committed and is lost", v)
		}
		if seen[v] > 0 && dead[v] {
			fail("%s was dead-lettered and is in the log", v)
		}
	}
}
