// Package kafka runs real Apache Kafka for tests: one broker or three, on
// loopback, from the jars that Maven fetches.
//
// Promise: Start returns a cluster that takes produce requests, or an error that
// says why not; it never pretends. The brokers end with the test process,
// however that ends. Faults are real ones: SIGKILL, SIGTERM, SIGSTOP, and links
// (integration/link) that brokers advertise in place of their own addresses.
//
// Jars are kept under .cache/kafka/VERSION of the repository, which git ignores.
package kafka
