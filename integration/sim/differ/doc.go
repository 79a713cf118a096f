// Package differ puts the same requests to the model of a cluster and to a real Apache Kafka, and compares the answers.
//
// Promise: a seed is a sequence of steps, the same one each time. After each of them both have answered the same
// and know the same, or the first difference is told with seed, step, request, both answers and a short sequence that shows it.
//
// What is compared: error codes, base offsets, log append times but for a broker's own clock, log start offsets, which records are refused, what
// DescribeProducers knows, both ends of the log, and batches as Fetch gives them, byte by byte.
//
// Files: step.go (what can be done), generate.go (chance), model.go and real.go (who does it), answer.go (answers as
// text), world.go (doing and comparing), shrink.go, and transactions.go (requests of one transactional id, in any order).
package differ
