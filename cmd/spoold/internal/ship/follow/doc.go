// Package follow reads files as they grow and gives their lines to a spool.
//
// Promise: each line is in the spool once, in the order in which it stands in its log, whatever ends the
// process at any moment. A file's position and the records that were read from it are one commit. What cannot be known (bytes
// that were cut off before they were read) is reported as a gap, never passed over in silence.
//
// Assumption: what was written to a file is not changed later, only cut off or removed. One process writes to a log at a time: rotated
// files are read to their end before the file that followed them.
//
// One goroutine, the caller of Run, owns everything but the watcher's set of changed paths. Memory is bounded by one
// buffer per unfinished line, and by the batches whose commit is awaited. Package ship makes the decisions.
package follow
