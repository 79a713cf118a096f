// Package codec compresses the records of a batch as Kafka does: gzip, snappy,
// lz4 and zstd.
//
// Promise: what Compress wrote, brokers and consumers of any language can read;
// Decompress never yields more than it is allowed, and takes memory for little more
// than that (a zstd frame's window, up to 128 MiB, comes on top).
// Encoders and decoders are pooled; both functions may be called from any goroutine.
//
// Snappy is written as one raw block, which Java's, librdkafka's and franz-go's
// consumers take as well as the xerial framing that Java writes; both are read.
package codec
