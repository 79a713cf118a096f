// Package txn is the state machine of one transactional id: which request goes to its
// coordinators next, and what every answer means.
//
// Promise: one coordinator request is in flight at a time. EndTxn is the last request of a
// transaction: it goes out when every partition and every offset was added, and when nothing was
// added it does not go out at all. A transaction that was asked to commit is never aborted by the
// machine, and the other way round. A state that table "legal" does not allow is a bug and panics.
// What an answer leaves open is returned as such (Outcome Open, Doubtful) and never guessed.
//
// Assumption: requests of one transactional id come from one machine at a time. Another one takes
// the id over with InitProducerId, and this one ends in FatalError with cause Fenced.
//
// Files: state.go (states), machine.go (what goes out next), contents.go and coordinators.go (its parts), announce.go (a transaction that carries nothing), requests.go (how it looks), answers.go and errors.go (what comes
// back), progress.go (what the offsets of our own group say about a decided transaction).
//
// The package is pure: no socket, file, clock, goroutine, channel or lock.
package txn
