package lossy

import (
	"syscall"
	"time"
)

// Call is what a process asks of the disk.
type Call string

// Calls.
const (
	Write    Call = "write"
	Truncate Call = "truncation"
	Allocate Call = "allocation"
	Sync     Call = "sync"
	SyncDir  Call = "sync of the directory"
	Create   Call = "creation"
	Rename   Call = "rename"
	Unlink   Call = "unlink"
)

// of is the call with the name of its file; "": the directory has none.
func (c Call) of(name string) string {
	if name == "" {
		return string(c)
	}
	return string(c) + " of " + name
}

// Setting is how the disk behaves until the next power cut.
type Setting struct {
	Seed     uint64        // of what a sync that fails loses
	SyncTime time.Duration // longest; each takes a random part of it
	LieFile  bool          // a sync of a file does nothing
	LieDir   bool          // a sync of the directory does nothing
	// KeepCache: what a failed sync lost is read even where the page cache was dropped, as if it had
	// not been.
	KeepCache bool
}

// Moment is when the power is cut: at a call.
type Moment struct {
	Call  Call // counted; "": any that changes something
	N     int  // 1: the next one
	Later int  // 0: at that call; else at the call, of any kind, that comes so many later
	Done  bool // it was carried out, and not answered; else it is under way
}

// Fault is an error that calls meet.
type Fault struct {
	Call  Call
	Errno syscall.Errno
	N     int // the first of them, 1: the next
	More  int // how many after it; negative: all
}

// Look is what calls there were since the power is on.
type Look struct {
	Calls   int // that change something
	Waiting int // since the power was cut
}

// Notice is what the disk tells by itself. One of its fields is set.
type Notice struct {
	Dark   string `json:",omitempty"` // the power was cut: why
	Failed string `json:",omitempty"` // a call has failed: which
}
