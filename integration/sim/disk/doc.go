// Package disk is a host's spool in the simulated world: what spool/bolt promises, without files, or
// spool/bolt itself, beside it or alone.
//
// Promise: a commit is durable as a whole or not at all; what is durable survives every Crash, what is not is gone,
// and of a commit that a crash or an error interrupts nobody knows which. State, idempotency keys and entries
// go to the disk as the product encodes them (package spool) and come back only by its decoders, at every
// start: what a start finds is what was written, never what was in memory.
//
// Model is the contract. Real runs the same calls on spool/bolt in a directory in memory, cuts the power by
// making the files what a power cut may leave, and compares with the Model at every step. Alone is the same without a Model:
// what spool/bolt says counts, and the laws of integration/sim/check judge it.
package disk
