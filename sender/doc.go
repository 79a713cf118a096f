// Package sender decides what goes to which broker, and when. It joins the rooms below it: package cluster (how a
// partition is reached), accumulator (what waits) and idempotence (how one partition is delivered exactly once).
//
// Promise: no byte of a batch leaves before its seal is durable; a partition's
// batches are sent in the order of the spool and settled in that order; a
// sequence is never given twice in an epoch; what cannot be known is parked, never
// guessed. Every call ends with the effects to carry out and never blocks.
//
// How to drive it (sender/loop does):
//
//  1. New with what the start found, then Start.
//  2. Every call returns *Effects. Carry them out in the order of their fields, before
//     the next call: submit Write; make the bytes of Sealed; send Requests; pass on
//     Deliver; read Feed; report Events; poison on Stop; call Tick at WakeAt.
//  3. Committed for every spool commit, in order; Handle for every request's answer;
//     Disconnected after a connection is gone and all its requests were answered;
//     Fed for every Feed.
//
// The package is pure: no clock, lock, goroutine or channel, so that the whole
// protocol can be stepped by hand and simulated from a seed.
//
// A Sender is made of parts, each with its own fields. Four of them are what all others work on: call (the time, the
// effects), topics (lanes and their partitions), requests (those in flight), work (the partitions that have anything to do).
// Files, in the order a record meets them: sender.go (the calls, and what a call ends with), lanes.go and feed.go (from the
// spool into batches), changes.go (what changes in the view of topics and leaders), clonecheck.go and identity.go (under
// which producer id), partition.go (one machine and the way to its leader), produce.go (batches and their answers),
// asking.go and tail.go (what is asked for machines), readback.go (bytes of sealed batches), writes.go, operator.go
// and waiting.go (spoold resolve), status.go and topic_status.go.
package sender
