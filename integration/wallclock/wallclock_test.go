//go:build crash

package wallclock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
)

// The wall clock of a host is ahead, behind, and jumps while records come in and from one start to the next. A broker refuses what is
// stamped too far ahead of its own clock, and takes it later; so that this need not wait for hours, the topic's limit is raised instead,
// once the host's clock has passed those stamps. Everything is delivered once and in order, nothing becomes a dead letter, the topic
// that takes any stamp goes on throughout, keys are known however far the clock jumps, and no age follows it.
func TestAWallClockThatIsWrongOrJumpsLosesNothingAndBreaksNoTimer(t *testing.T) {
	root, err := proof.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := Build(t.Context(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]map[string]string{"idempotent": nil, "transactional": {"transactional.id": "wall-clock"}} {
		t.Run(name, func(t *testing.T) { jumps(newRig(t, bin, keys)) })
	}
}

func jumps(r *rig) {
	r.create("wide", wide, wide)
	r.create("hour", wide, "3600000") // Kafka's defaults
	r.create("tight", wide, "10000")
	for _, l := range r.loads {
		l.Run(r.t.Context())
	}
	r.goesOn("while the clock is right")
	r.post("kept", "first", 200)
	for _, by := range []time.Duration{12 * time.Second, 2 * time.Hour, 5 * time.Hour, 0, -2 * time.Hour, 10 * time.Hour, -2 * time.Hour} {
		r.must(r.clock.Set(by))
		r.goesOn(fmt.Sprintf("after a jump to %v beside the broker's clock", by))
		r.must(r.killer.Kill(r.t.Context()))
		r.goesOn(fmt.Sprintf("after a start %v beside the broker's clock", by))
		r.post("kept", "first", 200)   // the same request, and the same record
		r.post("kept", "another", 422) // the key is in use
	}
	r.must(r.clock.Set(0))
	r.goesOn("when the clock is right again")
	for _, l := range r.loads {
		r.must(l.Stop())
	}
	r.until("what is stamped ahead waits, and status says why", time.Minute, func(s *status) bool {
		waiting := 0
		for _, t := range s.Topics {
			if t.Pending > 0 && strings.Contains(t.Trouble, "INVALID_TIMESTAMP") {
				waiting++
			}
		}
		return waiting == 2
	})
	for _, topic := range []string{"hour", "tight"} {
		r.must(r.cluster.AlterTopicConfig(r.t.Context(), topic, map[string]string{"message.timestamp.after.max.ms": wide}))
	}
	if s := r.until("drained", 6*time.Minute, func(s *status) bool { return s.Pending == 0 }); s.Dead != 0 || s.Expired != 0 || s.Lost != 0 {
		r.t.Errorf("%d dead letters, %d expired, %d lost", s.Dead, s.Expired, s.Lost)
	}
	r.must(r.clock.Set(48 * time.Hour)) // a key is kept for a day, and 15 minutes at least
	r.must(r.killer.Kill(r.t.Context()))
	r.post("kept", "first", 200)
	r.must(r.daemon.Stop())
	for topic := range r.loads {
		r.compare(topic)
	}
	n := 0
	r.must(r.cluster.ScanCommitted(r.t.Context(), "keyed", func(*kafka.Record) error { n++; return nil }))
	if n != 1 {
		r.t.Errorf("a request that was repeated with its key is there %d times", n)
	}
}
