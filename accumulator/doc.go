// Package accumulator gathers spooled entries into record batches, one queue per
// partition, inside a byte budget, and chooses partitions.
//
// Promise: a partition's records join batches in the order of their indexes, each
// once; a record that was passed over is never overtaken by a later one
// of its partition, because the partition takes nothing until the lane's cursor has
// come back to it. The partition of a record depends on the record and on the
// lane's facts alone, so that it is the same after a restart.
//
// Memory is a window on the disk: what does not fit is left in the spool and read
// again. The package is pure; the sender owns everything in it.
package accumulator
