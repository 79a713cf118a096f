// Package producers makes the embedded broker (kfake) say which producers a
// partition has, as Kafka does.
//
// Promise: DescribeProducers names every idempotent producer whose batches are in the log of a
// partition, with the epoch and the last sequence of its newest batch. kfake itself
// names transactional producers only (September 2026), and a client that asks before it
// sends again, as spoold does, would get the answer that its producer was forgotten.
//
// The answers are read from the log, so it holds after a restart of the broker, too.
// ACLs and faults of kfake are not asked for this one request.
package producers
