// Package inject fails, or kills, the real daemon at its Nth system call.
//
// Promise: wherever in its writing the daemon is killed or met by an error of the disk, a client that sends
// every unanswered request again, with the same Idempotency-Key, finds each of its records in the spool exactly
// once, byte for byte; what was answered 2xx is there; and after an error of the disk no request is
// answered 2xx any more, no segment is written to, and the process ends with code 74. A disk that is full
// for a while is outlived, unless a sync of a segment says so.
//
// strace injects (it counts calls by thread, so N is where, not exactly which). Every run prints its seed
// and the command that repeats it; what a round injected is read back from strace's log, and a
// round in which nothing was injected is counted apart. The table has each of the first 300 writes and syncs, and as many
// of the other calls as a life makes (opens, renames, unlinks, allocations); a short run takes some of each kind.
//
// The test is behind the build tag "crash": it needs strace, and fails without.
package inject
