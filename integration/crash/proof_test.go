//go:build crash

package crash

import (
	"fmt"

	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/proof"
)

// tally is what the tests of one run did together.
type tally struct {
	killer  Killer
	brokers int // killed
	broken  link.Counts
	records int
	wrong   int
}

var sum tally

// note adds what a test did. It may not have come to its end.
func (s *tally) note(r *rig) {
	s.killer.Kills += r.killer.Kills
	s.killer.Early += r.killer.Early
	s.killer.Stops += r.killer.Stops
	s.killer.InDoubt += r.killer.InDoubt
	s.brokers += r.brokersKilled
	s.broken.Add(r.broken)
	s.records += r.verdict.Records
	if r.t.Failed() {
		s.wrong++
	}
}

// keep writes what was done to docs/proof, if that is wanted.
func (s *tally) keep(p *proof.Run, root string) error {
	if s.killer.Kills == 0 && s.brokers == 0 {
		return nil // a run of a test that is about something else
	}
	p.What = "The daemon under load of many HTTP clients, programs with the library in them, and Apache Kafka with one broker and with three, each behind a proxy that can break single requests. The daemon is killed at any moment, one in four " +
		"of its new lives within 300 ms; brokers are killed and restarted, links cut. At the end every topic is read back and compared with what clients were told. A violation is a test that fails."
	p.Count("records read back and compared", s.records)
	p.Count("kills of the daemon within 300 ms of its start", s.killer.Early)
	p.Count("starts that found batches in doubt", s.killer.InDoubt)
	p.Inject("kill -9 of the daemon", s.killer.Kills)
	p.Inject("stop of the daemon in good order", s.killer.Stops)
	p.Inject("kill -9 of a broker", s.brokers)
	for f, n := range s.broken {
		if link.Fault(f) != link.Pass {
			p.Inject(fmt.Sprintf("request or answer: %v", link.Fault(f)), n)
		}
	}
	p.Violations = s.wrong
	if err := p.Save(root); err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	return nil
}

// killBroker kills a broker now.
func (r *rig) killBroker(i int) {
	r.t.Helper()
	r.must(r.cluster.Kill(i))
	r.brokersKilled++
}
