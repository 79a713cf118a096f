// Package idempotence keeps what a producer must know about itself on one
// partition: identity, next sequence, what was acked, and from these how many
// batches may be unanswered at once.
//
// Promise: a sequence that was given to records is never given to others in the
// same epoch, whatever is refused, lost or resolved; an epoch never wraps.
//
// The package is pure. Everything here is owned by the sender.
package idempotence
