// Package recovery finds out what became of batches whose fate is not known:
// after a start with open seals, after a lost or doubtful answer, and whenever
// a leader or a connection is new.
//
// Promise: a batch is settled only when it is known to be below the high
// watermark; it is sent again only under its own identity, one at a time, and
// only while the broker can recognize a duplicate; where neither can be known the
// partition is parked. It never guesses, and it is the same machine at a start and
// while running.
//
// The machine decides; the sender asks, reads and sends. The package is pure.
// It rests on what Kafka's brokers do: a refusal of a re-sent batch proves nothing of its other copies; a broker
// may remember a producer's last batch only; it forgets a producer by the time of its records.
package recovery
