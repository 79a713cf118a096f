// Package wallclock runs the real daemon on a host whose wall clock is wrong and jumps.
//
// Promise: only the wall clock is wrong, as NTP, a flat battery or an operator leave it; the monotonic clock, and with it
// every timer, goes on. The daemon is the one that ships, built with another time.Now. Every run prints its seed and the
// command that repeats it.
//
// The test is behind the build tag "crash": it needs Apache Kafka, and package time is built anew.
package wallclock
