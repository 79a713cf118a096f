// Package broker is a Kafka cluster in memory, without clock, goroutine or IO: controller, brokers,
// replicas, producer state, the requests that a producer makes.
//
// Promise: it answers as Apache Kafka 4.3.1 does (3.9.1 where Config says so), in the order in which
// Kafka checks, and it does nothing that Kafka would not do: what it loses, forgets or delays, a real cluster may
// lose, forget or delay. It is written from Kafka's rules (classes named beside them) and from what
// real brokers were seen to answer, not from what our client assumes. Two things hold it to that: the
// observations in testdata/facts.tsv, and a differential test that puts the same requests to a real broker
// (integration/sim/differ).
//
// Time is an Agenda that the caller owns; everything random comes from Config.Seed. The same calls in the
// same order give the same answers.
//
// There is no transaction coordinator yet. It has its place: a file per request, marker batches in the log,
// and an open transaction in the producer state.
//
// Not in it: compaction, segments that roll (so no older snapshot than the last start's), damaged files, compressed batches, quotas,
// consumer groups, offsets by time.
//
// Files: cluster.go and controller.go (who leads), node.go and process.go (one broker's view, and its ends and starts), replica.go, log.go
// and follower.go (one log), producers.go and snapshot.go (what is known of producers), append.go (checks in Kafka's
// order), conn.go (one request at a time), a file per request, and inspect.go for those who check.
package broker
