// Package txn looks on Apache Kafka for what is promised under a transactional id, with
// transaction.version 1 and 2.
//
// Promise: a child process commits units of records until it is killed, brokers are killed, and what a
// read_committed reader sees then is compared with what the child said: each spooled unit once, whole
// and in order, and no transaction left open. The same with the daemon, killed at random and at each step of a transaction, with
// the answers of its requests lost or late, and with copies of them that come late. One broker
// of Kafka 4.3.1 is killed right behind its answer to EndTxn, which loses the markers of that transaction. TXN_STEP=EndTxn has the test of steps
// do only those of one request. TXN_SEED repeats a run, TXN_KILLS says how often it kills.
package txn
