package main

import (
	"fmt"

	"github.com/spoold/spoold/integration/proof"
)

// keep writes what came of it to docs/proof, if that is wanted.
func (t *tally) keep(p *proof.Run, o options) error {
	p.What = `Several hosts with spoold's own core (accumulator, sender, recovery, idempotence, spool; in one of four sender/transaction and txn), clients that retry, a cluster that is written from Kafka's
rules, a network and disks that break, all in one goroutine under a seed. Each history is checked against the laws P1 to P12 of ` + "`ARCHITECTURE.md`" + ` by a
package that shares no code with the product. Each has at least 200 records, 5 faults and 1 kill, and its own configuration and mix of faults.`
	p.Violations = len(t.broken)
	if t.counted < o.seeds && p.Violations == 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("It was interrupted before all %s histories were done.", proof.Thousands(o.seeds)))
	}
	p.Count("histories", t.counted)
	p.Say("seeds", fmt.Sprintf("%d to %d", o.from, t.next-1))
	p.Count("records spooled", t.records)
	p.Count("processes killed", t.kills)
	p.Count("events", t.steps)
	p.Say("simulated time", fmt.Sprintf("%d days", t.ms/86_400_000))
	p.Count("histories on spool/bolt itself, on a file system in memory", t.real)
	p.Count("partitions parked, as the faults call for, and resolved by what is true", sum(t.parks))
	for k, n := range t.faults {
		p.Inject(k, n)
	}
	p.NotCovered = notCovered
	root, err := proof.Root()
	if err != nil {
		return err
	}
	return p.Save(root)
}

// notCovered is what no seed can show.
var notCovered = []string{
	"Kafka transactions: a coordinator that goes on with a decision that was not replicated yet, as Kafka's does when it begins, and loses it: the cluster commits a part of the transaction and aborts the rest, and spoold parks it; and consumer groups with members, whose offsets carry a generation",
	"a topic of which spoold has no READ, whose log is emptied and whose broker is killed while a batch of it is in doubt: the broker forgets, and spoold cannot ask",
	"records of a follower that were never replicated, below a log start that its new leader has raised since: Kafka may keep their sequences, and takes a second copy for a duplicate",
	"unclean leader elections, and records in topics that somebody deletes: not promised",
	"a request of an original that reaches a log only after its copy has asked the leader there: nothing can know of it",
	"a request of a former connection that arrives after its answer was received, or after the broker's process was restarted: no connection does that",
	"a request of a former connection that arrives after the broker has forgotten its producer, because what was sent since has timestamps older than producer.id.expiration.ms",
	"a clock that is wrong by more than the four hours between the margin and the broker's producer.id.expiration.ms",
	"on small spools in files: Kafka transactions, nights, copies; descriptors that are missing when a segment is read; a refused batch that may be in the log waits there for a further record, which a spool that another topic fills does not take; every commit runs the first 100 of them and 50 fresh ones",
	"brokers other than Apache Kafka",
	"goroutines, sockets and the operating system in the simulated world: these are in the runs with real processes",
}
