// Package idempotence delivers one topic-partition exactly once, with a producer id and sequence numbers: the
// machine of one partition.
//
// Promise: a batch has its identity on disk before its first byte leaves; a sequence that was given to records is
// never given to others in the same epoch, whatever is refused, lost or resolved; an epoch never wraps; batches are
// sent and settled in the order of the spool; at most five are unanswered, and one where the broker may not recognise a
// duplicate; what cannot be known is parked, never guessed.
//
// A Machine takes events and leaves steps in an Env (env.go). It meets no broker, no metadata and no file: a way to
// the leader is a number, which is another one whenever leader, leader epoch or connection are new. Package sender
// drives it, package recovery answers what became of a batch in doubt.
//
// A Machine is made of parts, each with its own fields, in a file of its own: state (phase.go: what a partition does, and
// what may follow), target.go (where records come from and go to), identity.go (producer id, epoch, sequences, and how far
// the log is known to reach), batches.go (what is sealed and not settled), resolution.go (what the leader was asked),
// pace.go (when it tries again, and why it waits). What concerns several parts is the Machine's, in the order of events:
// machine.go (start, state), seal.go (how many batches may be out), answers.go, refused.go (records refused for good),
// healing.go (records that are ahead of the broker's clock), resolve.go (batches in doubt), park.go and waiting.go (an
// operator's part). env.go and events.go are what a call is given and leaves.
//
// The package is pure. Everything here is owned by the sender.
package idempotence
