// Package protocol is Kafka's vocabulary: the types that name things on the
// wire, record batches (magic 2), the body of the Produce request, and the
// table that says what each error code means.
//
// Promise: a batch whose header WriteBatchHeader wrote is one that a broker
// takes: lengths, counts, deltas and CRC-32C agree with each other. Decoding
// never panics and never allocates more than its input, whatever the bytes are.
//
// The package is pure: no socket, file, clock, goroutine, channel or lock.
// Connections live in protocol/conn, compression in protocol/codec.
package protocol
