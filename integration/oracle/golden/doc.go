// Command golden has Apache Kafka's own Java producer write a batch with each codec, and keeps the bytes that it sends as
// protocol/testdata/producer/CODEC.hex. What the records are is in Golden.java. "make golden" runs it; it needs Java 17, and
// Maven for the jars.
//
// Promise: the bytes are those of that producer alone, and the same in every run.
package main
