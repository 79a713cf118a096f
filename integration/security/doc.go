// Package security holds spoold against listeners of Apache Kafka that encrypt and authenticate, and against users that lack rights.
//
// Promise: each key of security, each mechanism and each refusal is tried on brokers of Apache Kafka, and records that wait for a certificate,
// a password or a right are delivered once it is there. Its tests have the build tag kafka.
package security
