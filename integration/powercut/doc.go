// Package powercut says what a power cut leaves of a directory: a model of a disk with a cache
// that a sync empties.
//
// Promise: what had ended before a sync of its file, or for a name before a sync of the
// directory, began, and that sync has ended, is in every state that Cut gives. Of the rest Cut chooses
// freely: of writes none, all, the first few, a torn last one, any of them, or any of their
// 512-byte sectors, file by file; of names none, all, the first few, or for each file the first few
// of its own. Nothing is assumed of the order of what was not synced, nor that a synced
// file's name survives without a sync of its directory. The same random source gives the same choice.
//
// integration/lossy is the file system around it. integration/crashstates makes states of a trace
// that is over, by the same rules; here the processes are still running.
package powercut
