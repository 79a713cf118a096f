// Package program reads the bytes that a fuzzer makes up as a little program: one decision after
// the other. A mutation then changes a decision and leaves the rest of a history as it was, so
// that fuzzing reaches states which random bytes never would.
//
// Promise: the same bytes are the same decisions. Behind the last byte every decision is zero and
// More is false, so that every program ends. It imports nothing of ours: tests of any package may
// use it.
package program
