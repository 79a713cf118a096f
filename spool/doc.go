// Package spool is the vocabulary and the on-disk format of the spool: records
// are entries of blocks, blocks are keys of segments, and what is known about
// their delivery is the state.
//
// Promise: every encoder here has one decoder that gives back the same value or
// an error, never a guess, and every value on disk is covered by a checksum.
// The rule of idempotency keys and the bookkeeping of what is settled are here
// as well, free of IO, so that they can be simulated.
//
// Assumption: a sync is honest. We do not assume that sector writes are atomic.
//
// The package is pure. Files, the open group's lock and the committer live in
// spool/bolt.
package spool
