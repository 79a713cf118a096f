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
// With Config.Transactions there are coordinators of transactions and groups, as leaders of two internal topics, whose logs hold all
// that a coordinator has: it reads them when it begins to lead. Transactions are of version 1 or 2 (KIP-890); markers are written
// partition by partition some time after EndTxn was answered; Produce and TxnOffsetCommit are verified.
//
// Not in it: transactional ids that expire or come to their last epoch in EndTxn, members of groups, plain OffsetCommit, compaction, segments that roll (so no older snapshot than the last start's), damaged files (but for a snapshot), compressed batches, quotas,
// offsets by time.
//
// Files: cluster.go and controller.go (who leads), node.go and process.go (one broker's view, and its ends and starts), replica.go, log.go
// and follower.go (one log), producers.go and snapshot.go (what is known of producers), append.go (checks in Kafka's
// order), conn.go (one request at a time), a file per request, and inspect.go for those who check. Transactions: txnstate.go (what a
// coordinator writes and reads), rpc.go (brokers ask each other), inittransactional.go, addtotxn.go and txnproduce.go (what may be
// written), endtxn.go, markers.go, groups.go, and txninspect.go.
package broker
