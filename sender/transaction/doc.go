// Package transaction decides what goes to the cluster, and when, under a transactional id: package
// sender's counterpart, with the same calls and effects.
//
// Promise: a unit (a client's transaction, or a batch) is delivered inside one Kafka transaction and
// never divided; per topic-partition, records become visible in the order of the spool. EndTxn(commit)
// is sent only after the decision to commit is durable, and the next transaction begins only after
// the answer is. Nothing leaves the spool before its transaction is known to have committed; a
// transaction whose outcome nobody can tell is parked, never guessed. A start finishes what was
// decided, and sends everything else again.
//
// How it works. Units are admitted to a cut, as long as each of their topics can be written to and
// has been read up to them: for every topic a cut is a run of the spool, so it never divides a unit.
// One cut is being sent; while its transaction ends, the next one is being filled. With an aborted
// transaction everything that has not left the spool is read again.
//
// How to drive it: as package sender, see there.
//
// Files, in the order a record meets them: sender.go (Sender and its parts), lanes.go (from the spool into batches), cut.go (what one
// transaction carries), produce.go (requests and answers), running.go and ending.go (begin, decide, end), markers.go, committed.go, groups.go and heal.go (whether the ends are marked in the logs),
// refused.go (records that the cluster does not take), coordinator.go (requests of the transactional
// id), start.go, coordinators.go, found.go, evidence.go and hanging.go (what a start does first, and what it finds), parked.go, slow.go (what comes too late),
// online.go (units that are not spooled), fencing.go, operator.go, status.go and brokerview.go.
//
// The package is pure: no clock, lock, goroutine or channel.
package transaction
