// Package ship decides what a file follower must decide: where a line ends, whether a file is
// one that was read before, and which rotated files belong to which log.
//
// Promise: a Position is continued only in a file whose bytes are the ones that were read: the first
// HeadSize bytes and the MarkerSize bytes before the offset must be equal. Every byte of the input
// is in exactly one record, delimiter or skipped line.
//
// Pure: no file, clock, goroutine or lock. Package follow does the reading.
package ship
