package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// Sink is where records go: a *spoold.Producer.
type Sink interface {
	SendBatch(context.Context, spoold.Batch) (Commit, error)
	Notes(prefix string) map[string][]byte
}

// Commit is what a batch's deliveries answer.
type Commit interface {
	Spooled(context.Context) error
}

// Policy says what becomes of a line that is too long.
type Policy string

// Policies.
const (
	Fail       Policy = "fail"        // Run ends in front of it
	Skip       Policy = "skip"        // it is left out, and counted
	DeadLetter Policy = "dead-letter" // it is kept in a file, and counted
)

// Line is a record as it stands in its file.
type Line struct {
	File   string // the log's path, which stays the same when the file is rotated
	Offset int64  // of its first byte
	Value  []byte
}

// Options say what is followed and how. Bounds of 0 are replaced by defaults.
type Options struct {
	// Patterns are files, directories (the files in them) and globs.
	Patterns []string
	// Namespace separates positions: the same file under another one is read from its beginning.
	Namespace string
	// Single reads one file as it is: nothing is decompressed, and no rotated file belongs to it.
	Single bool
	// Once ends Run when the end of every file was reached.
	Once bool
	// Restart forgets the positions of files that were read before.
	Restart bool
	Format  ship.Format
	Record  func(Line) spoold.Record
	TooLong Policy
	// KeepDir takes lines that are too long, with DeadLetter.
	KeepDir string
	// MaxBatch bounds the bytes of records in one commit, but for one that is larger. The spool must take this much, and 1 KiB more.
	MaxBatch int // 1 MiB
	// MaxRecords, if not nil, is asked how many records the next batch may have.
	MaxRecords func() int
	// Poll is how often files are looked at where no change is notified.
	Poll time.Duration // 1 s
	// Quiet is after which time without a change an unfinished last line of a rotated file, and the last record
	// of several lines, are taken as whole.
	Quiet time.Duration // 5 s
	// Remember bounds the positions of files that are not there any more.
	Remember int // 1000
	// MaxOpen bounds open files. Others are opened when there is something to read.
	MaxOpen int // 512
	// Report is called with what happens. It must not block.
	Report func(Event)

	behind map[string]string // by the path that a log's symbolic link leads to: the link. The finder fills it at each look
}

// batchBytes is how much of a file is read at once.
const batchBytes = 1 << 20

// maxWindow bounds the batches whose commit is awaited.
const maxWindow = 32

// maxKeep and maxKept bound what is kept of one line that is too long, and of all.
const (
	maxKeep = 16 << 20
	maxKept = 256 << 20
)

func (o Options) withDefaults() Options {
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if o.Quiet <= 0 {
		o.Quiet = 5 * time.Second
	}
	if o.MaxBatch <= 0 {
		o.MaxBatch = 1 << 20
	}
	if o.Remember <= 0 {
		o.Remember = 1000
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = 512
	}
	if o.Report == nil {
		o.Report = func(Event) {}
	}
	return o
}

// EventKind says what happened.
type EventKind string

// Kinds of events.
const (
	Opened  EventKind = "file.opened"   // a file is read, from Offset
	Rotated EventKind = "file.rotated"  // a file has another name now, or its content is in another file
	Gap     EventKind = "file.gap"      // bytes were cut off that may not have been read; Bytes of them are known
	TooLong EventKind = "line.too-long" // a line was skipped or kept
	Split   EventKind = "line.split"    // a file grew behind an unfinished line, or record of several, that was taken as whole
	Failed  EventKind = "file.failed"   // a file cannot be read; it is tried again
	Waiting EventKind = "spool.full"    // the spool is full; it is tried again
)

// Event is something that an operator may want to see.
type Event struct {
	Kind   EventKind
	Path   string
	Offset int64
	Bytes  int64
	Detail string
}

// Stats count what a run did. Records count when they are spooled.
type Stats struct {
	Files, Records, Bytes, TooLong, Gaps, GapBytes, Splits int64

	Unreadable int64  // files and directories that cannot be read now
	Problem    string // of the first of them
}

// TooLongError is the end of a run with the policy Fail.
type TooLongError struct {
	Path   string
	Offset int64
	Max    int
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("%s: the line at byte %d is larger than a record may be (%d bytes: max.request.size less its headers): what stands before it is spooled, nothing behind it is read. Raise max.request.size, or choose --too-long skip or dead-letter",
		e.Path, e.Offset, e.Max)
}

// FileError is a file that could not be read.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string {
	var named *fs.PathError
	if errors.As(e.Err, &named) && named.Path == e.Path {
		return fmt.Sprintf("%s: %v", e.Path, named.Err) // the path once
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// nameOf takes a path apart. Files beside the target of a symbolic link are of the link's log.
func (o *Options) nameOf(path string) ship.Name {
	if o.Single {
		return ship.Name{Path: path, Base: path}
	}
	n := ship.ParseName(path)
	if log, ok := o.behind[n.Base]; ok {
		n.Base = log
	}
	return n
}
