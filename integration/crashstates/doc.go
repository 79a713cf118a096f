// Package crashstates opens the states in which a power cut may leave a spool.
//
// Promise: whatever a power cut leaves of the writes that no sync had finished (all, none,
// the first few, a torn one, any sectors of them; file by file and name by name), the spool opens without
// a complaint, and holds the state after some step that had begun, and
// none before the last one whose caller was told. Records are compared byte for byte, with
// counters, notes, idempotency keys, seals and dead letters.
//
// A workload runs under strace through several lives, some of which end by SIGKILL; from
// its trace a model of the disk builds each state, and the real bolt.Open opens it, in a child
// process that may die of it. States are numbered; each comes from the seed and its number
// alone, and a failure prints both with the command that repeats it.
//
// What is assumed of the disk: a sync that has returned is kept, a sector of 512 bytes is written
// wholly or not at all, and a rename happens or does not. Nothing is assumed of the order of what was not
// synced, nor that a synced file's name survives without a sync of its directory.
//
// The tests are behind the build tag "crash": they need strace, and fail without.
package crashstates
