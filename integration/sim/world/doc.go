// Package world runs hosts with the product's pure core against a model of Kafka, a model of a disk and a network that
// breaks, in one goroutine, under a seed.
//
// Promise: a Plan decides everything: the same Plan gives the same trace, byte for byte. Draw makes a Plan of a seed.
// What is run of the product is what the daemon runs: sender, accumulator, recovery, idempotence and spool's state, keys and
// codecs, and in one seed of four sender/transaction and txn instead of sender and idempotence; only goroutines, sockets and bbolt are replaced (bbolt not in all of them). What came of it is reported to
// integration/sim/check, by the disk, the cluster and the clients, not by the core.
//
// A run has five parts: faults (Plan.Chaos ms), then everything heals and clients get their last answers, then, in some runs, only the
// trouble of a topic or two is left (it must be shown, and stop no other topic) and ends, then an operator
// decides on what is parked, by what is true, and then it must become quiet. Every chance is drawn by a stream of its own,
// so that a Plan with one fault less is the same run without it: that is what Shrink lives on.
//
// Files: plan.go (what a run is), draw.go (a seed's swarm of faults), real.go (which seeds have spool/bolt itself), world.go
// and trace.go (time, what is reported), host.go and spooling.go (a process and its disk), link.go, describe.go and stale.go
// (connections, requests in words, answers that are out of date), client.go (who sends), processor.go (who commits offsets with it), transactions.go (hosts with a transactional id), staged.go (units that go to the disk in pieces), faults.go,
// operator.go and outcomes.go (of parked transactions), lasting.go (trouble that outlasts the faults), end.go (what is true at the end), shrink.go.
//
// A Stage (stage.go) is one host and one cluster of the same kind for a scenario that is written down, step by step: package sender's
// tests run on it.
package world
