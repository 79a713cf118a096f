// Package cluster is what is known of the Kafka cluster: its brokers and the connections to them, topics,
// leaders and their epochs, and which broker to ask next.
//
// Promise: a leader epoch never goes back; a topic that was created anew under its old name counts only
// when metadata shows it twice; one broker's answer that a topic does not exist is not enough where there are
// others; a partition is not parked for what its leader says before another broker was asked who leads. No
// call blocks, and none costs more than what it changes, but for a metadata response, which costs what is in it.
//
// How to drive it (package sender does):
//
//  1. New, then Follow for each topic that there are records for.
//  2. Begin at the start of every call of the core. All that follows happens at that time.
//  3. Send what Requests returns, in order, and give each answer to Handle; Disconnected after a connection is
//     gone and all its requests were answered. Carry out Changes after each of these.
//  4. Call Update, at the latest at the Age that WakeAt returns.
//
// The package is pure and has nothing of records, batches or the spool: topics have names and numbers, and
// Topic.Pending says whether anything waits for one.
//
// Files: view.go and call.go (the calls), connections.go (brokers, throttling), link.go (whether the cluster is
// reached), metadata.go (when it is asked for, and of whom), topics.go (what it says of topics), leaders.go (who
// leads a partition, and how to reach it), check.go (another broker's answer about a leader), expiration.go (how long
// producers are remembered), topicsize.go (how large a topic's batches may be). A look-up of coordinators (FindCoordinator, by key, for groups and transactional ids)
// belongs beside connections.go.
package cluster
