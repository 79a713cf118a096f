// Package crashstates opens the states in which a power cut may leave a spool.
//
// Promise: whatever a power cut leaves of the writes that no sync had finished, the spool opens without
// a complaint, and holds the state after some step that had begun, and
// none before the last one whose caller was told. Records are compared byte for byte, with
// counters, settled entries, notes, idempotency keys, seals and dead letters; the incarnation has risen, and no file
// is left that is on no list. The same is true when a sync had failed, and a process started with its cache dropped.
//
// A workload runs under strace through several lives, some of which end by SIGKILL or by a sync that
// fails (Record). A model of the disk replays the trace (Disk) and takes apart what waits at each moment
// (frame); walk makes the states of that, each once; stage turns one into the next on a real directory, where
// only what differs is written; and the real bolt.Open opens it (checker), in a child process that may die
// of it (Job). The walk goes on to look at states it has checked, for as long as the power may leave
// them: a caller may have been told of more meanwhile.
//
// # Which states
//
// The least that is kept or lost is a sector of 512 bytes of a write, a new size of a file, a change of a name.
// Scenes (script.go) are so small that every subset of what waits is made, at every moment: there, these are all
// states that the model has. In the workloads that a seed makes, it is every subset of what was written since
// the last sync where that is 2^8 or less; else every subset of the changes, the last one torn
// at each sector; with more than six changes, the first ones. What is older than the last sync (names, mostly) is drawn
// once between two syncs there, and some states of everything are drawn beside: also with a sector torn inside.
//
// States are numbered; each comes from the case, the plan and its number alone, and a failure prints them
// with the command that repeats it.
//
// # What is assumed of the disk
//
// A sync that has returned is kept, a sector is written wholly or not at all (but for the tears that are drawn), and a rename
// happens or does not. Nothing is assumed of the order of what was not
// synced, nor that a synced file's name survives without a sync of its directory.
//
// A sync that fails leaves what it covered as the page cache does on Linux: readers see it, it is taken for
// written, and no later sync writes it unless it is written again, page by page; any part of it may have arrived. A process that
// starts with the cache dropped reads what did. One that reads the cache finds a spool that is not on the
// disk: that, and disks that ignore syncs, must be found out, or the rig is blind.
//
// The tests are behind the build tag "crash": they need strace, and fail without.
package crashstates
