// Package lossy is a disk for a real daemon: a FUSE file system whose power can be cut, whose
// syncs can fail, and which can lie about them.
//
// Promise: what a sync had not made safe when the power is cut survives, or does not, as
// integration/powercut says; from that instant no call is answered, until the process that made it is
// dead, and then none succeeds. What comes back is mounted anew, so that nothing of the page cache is left.
// A sync that fails does so as on a common system: its error is told once, the pages count as
// written and stay readable in the page cache, which is the kernel's own, and no later sync
// brings them to the disk.
//
// # The instant of the cut
//
// The cut is one instant although the daemon dies a moment later. What it does in between
// rests on calls that returned before: nothing that it writes is kept, no sync of its returns, so a truthful
// daemon has nothing new to say. An answer that reaches a client late was true when it was
// written, and counts; one that rests on no sync is the very mistake that a rig looks for.
//
// # Two processes
//
// The file system is a process of its own (Main). A daemon maps its files; a page fault on a mapping that the
// same Go process serves can deadlock. The rig holds the other end (Disk) and speaks with it over pipes, in
// lines of JSON. Alone puts both, and all daemons, into a mount namespace that ends with them.
//
// # What it is not
//
// A directory has files and sockets, and no directories. Modes and times are not lost. A sync of the directory that
// fails leaves its changes waiting, where a real file system would stop altogether. Memory pressure may
// drop a page whose sync has failed, as it does on a real system.
//
// Mounting needs Linux, root and /dev/fuse: what mounts is behind the build tag "crash".
package lossy
