package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spoold/spoold/spool"
)

// Options say where a spool is and how large it may become. The zero value of
// every field but Path means the default.
type Options struct {
	Path         string        // directory; made with mode 0700 if it is missing
	SegmentBytes int64         // live bytes at which the active segment is left for a new one; 64 MiB, at most a sixteenth of the limit
	MaxBytes     int64         // what the files may own; above it Append waits, then ErrFull; 8 GiB
	MinFreeBytes int64         // free space of the file system to leave to others; 1 GiB. Negative: none
	GroupBytes   int           // a group stops gathering here, and is full at twice that; 1 MiB, less on a small disk
	MaxBatch     int           // largest record or batch, encoded; more than a full group goes in a group of its own; twice GroupBytes, at most a quarter of the limit
	SettleAfter  time.Duration // how long a Write that is not urgent waits for company; 1 s
	// RewriteAfter is how long a segment may rest before its remains are carried into a newer one; 5 s. Negative: no time
	// at all, and only by commits that are made anyway.
	RewriteAfter time.Duration
	KeyWindow    time.Duration            // how long idempotency keys are known; 24 h, never below 15 min
	MaxKeys      int                      // how many are known; 500,000
	KeyBytes     int64                    // what they may take on the disk, about; an eighth of the limit
	StateBytes   int64                    // what the state may take before new topics and notes are refused; a 64th of the limit
	MaxTopics    int                      // how many the spool may ever hold: one is never forgotten; 10,000
	StagedBytes  int64                    // what units that are not committed may take on the disk; 1 GiB
	DeadBytes    int64                    // what dead letters' entries may take: above it the oldest are dropped; a quarter of the limit
	DeadBlock    bool                     // above DeadBytes none is dropped: Committed.DeadFull says that there is to be no further one
	AgeEvery     time.Duration            // how exactly it is known since when entries wait (Store.Aged); 0: it is not kept
	Quota        func(topic string) Quota // what a topic's pending records may take; always the same for a topic. nil: there is no quota
	Adopt        bool                     // take over a spool that was made elsewhere (recorded)
	StopOnDamage bool                     // a damaged segment of records is an error; else it is set aside, and what it has lost is recorded
	Verify       []uint64                 // segments of which every byte is looked at by Open
	KeepReceipts bool                     // at the end, leave them unanswered for Store.Receipts
	Now          func() time.Time
	// Observe is called after each commit, by the committer. It must not block.
	Observe func(CommitStats)

	Faults *Faults // tests and simulations only
}

// Sizes.
const (
	defaultSegmentBytes = 64 << 20
	defaultMaxBytes     = 8 << 30
	defaultMinFree      = 1 << 30
	defaultGroupBytes   = 1 << 20
	defaultKeyWindow    = 24 * time.Hour
	defaultMaxKeys      = 500_000
	defaultMaxTopics    = 10_000
	defaultStagedBytes  = 1 << 30
	keyFloor            = 15 * time.Minute
	maxGroupFactor      = 2
	maxNoteName         = 255
	maxNoteValue        = 4 << 10
	maxTopic            = 249
)

func (o *Options) withDefaults() Options {
	d := *o
	setDefault(&d.SegmentBytes, defaultSegmentBytes)
	setDefault(&d.MaxBytes, defaultMaxBytes)
	setDefault(&d.MinFreeBytes, defaultMinFree)
	setDefault(&d.GroupBytes, defaultGroupBytes)
	setDefault(&d.SettleAfter, time.Second)
	setDefault(&d.RewriteAfter, defaultRewriteAfter)
	setDefault(&d.KeyWindow, defaultKeyWindow)
	setDefault(&d.MaxKeys, defaultMaxKeys)
	setDefault(&d.MaxTopics, defaultMaxTopics)
	setDefault(&d.StagedBytes, defaultStagedBytes)
	d.KeyWindow = max(d.KeyWindow, keyFloor)
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Faults == nil {
		d.Faults = &Faults{}
	}
	return d
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// What callers may branch on.
var (
	// ErrFull: no room within the limits until something is delivered, and
	// the context ended first. Nothing was stored.
	ErrFull = errors.New("the spool is full")
	// ErrTooSmall: the disk, or what the limits leave of it, is too small for a spool. It is also ErrFull.
	ErrTooSmall error = tooSmall{}
	// ErrClosed: Close was called. Nothing was stored.
	ErrClosed = errors.New("the spool is closed")
	// ErrPoisoned: a commit failed. Whether the record is stored is unknown
	// until the spool is opened again.
	ErrPoisoned = errors.New("outcome unknown: a commit failed")
	// ErrKeyReused: the idempotency key was used for other records.
	ErrKeyReused = errors.New("idempotency key was used for other records")
	// ErrKeyWindow: as many keys as are allowed came within 15 minutes.
	ErrKeyWindow = errors.New("no room for another idempotency key for now")
	// ErrTooManyTopics: the spool has as many topics as it may have, and this is another.
	// Nothing was stored.
	ErrTooManyTopics = errors.New("no room for another topic")
	// ErrTooLarge: the record, batch or note is over its limit.
	ErrTooLarge = errors.New("too large")
	// ErrInvalid: a topic or note name that cannot be stored.
	ErrInvalid = errors.New("invalid")
	// ErrForeign: the spool was made on another machine, or is a copy.
	ErrForeign = errors.New("the spool was made on another host or file system, or is a copy of one; if the original is gone, run spoold serve --adopt-spool on it once")
	// ErrDeadLettered is what Acked says of a record that was moved to the
	// dead letters when the reason is not known any more.
	ErrDeadLettered = errors.New("the record was moved to the dead letters")
	// ErrLost is what Acked says of a record that damage to the disk has taken.
	ErrLost = spool.ErrLost
	// ErrExpired is what Acked says of a record that policy dropped.
	ErrExpired = errors.New("the record was dropped by policy")
)

// LockedError says that another process has the spool.
type LockedError struct {
	Path string
	PID  int // 0: not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("spool %s is in use by another process", e.Path)
	}
	return fmt.Sprintf("spool %s is in use by process %d", e.Path, e.PID)
}

// tooSmall is no "full": the spool may be empty.
type tooSmall struct{}

func (tooSmall) Error() string { return "there is too little room for a spool" }

// Is reports whether target is ErrFull.
func (tooSmall) Is(target error) bool { return target == ErrFull }

// NoSpoolError says that there is no spool in a directory. It is an fs.ErrNotExist.
type NoSpoolError struct{ Path string }

func (e *NoSpoolError) Error() string {
	return fmt.Sprintf("there is no spool in %s: nothing was ever spooled there", e.Path)
}

// Is reports whether target is fs.ErrNotExist.
func (e *NoSpoolError) Is(target error) bool { return target == fs.ErrNotExist }

// VersionError says that a newer program wrote the spool.
type VersionError struct {
	Path string
	Err  error
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s: %v: use the newer spoold that wrote it", e.Path, e.Err)
}
func (e *VersionError) Unwrap() error { return e.Err }

// SpaceError says that a commit found the disk full in spite of all precautions.
// The outcome of its records, and of those behind them, is unknown; a new
// Open finds it out. It is also ErrPoisoned.
type SpaceError struct{ Err error }

func (e *SpaceError) Error() string        { return fmt.Sprintf("commit: %v", e.Err) }
func (e *SpaceError) Unwrap() error        { return e.Err }
func (e *SpaceError) Is(target error) bool { return target == ErrPoisoned }

// CommitStats is what one commit did.
type CommitStats struct {
	Duration time.Duration // from taking the group to the sync
	Records  int
	Bytes    int // of the block
	Writes   int // Writes carried out
	Dead     int // dead letters made
	Dropped  int // dead letters given up because of Options.DeadBytes
	Rotated  bool
}

func corrupt(segment, block uint64, format string, args ...any) *spool.CorruptError {
	return &spool.CorruptError{Segment: segment, Block: block, What: fmt.Sprintf(format, args...)}
}
