package spoold

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// What callers branch on, with errors.Is.
var (
	// ErrClosed: the Producer was closed. From Send: nothing was taken. From Acked: the
	// record is spooled, and the next Open of the same spool delivers it.
	ErrClosed = errors.New("the producer is closed")
	// ErrFull: no room in the spool within max.block.ms or the context. Nothing was taken.
	ErrFull = errors.New("the spool is full")
	// ErrMaxBlock: it waited for max.block.ms; where that was for room, the error is an ErrFull, too.
	ErrMaxBlock = errors.New("max.block.ms ran out")
	// ErrUnknown: the disk failed while the record was on its way to it. It may be
	// spooled or not; the next Open finds out, and delivers it if it is. With
	// Batch.Key it can be sent again without risk.
	ErrUnknown = errors.New("outcome unknown")
	// ErrTooLarge: the record is over max.request.size, or a batch over what one commit holds.
	// Nothing was taken.
	ErrTooLarge = errors.New("too large")
	// ErrInvalidRecord: it can never be delivered as it is: topic's name, partition, timestamp, note.
	// Nothing was taken.
	ErrInvalidRecord = errors.New("invalid")
	// ErrKeyReused: Batch.Key was used for other records. Nothing was taken.
	ErrKeyReused = errors.New("idempotency key was used for other records")
	// ErrKeyWindow: idempotency.max.keys came within 15 minutes; none is forgotten
	// sooner. Nothing was taken; try again later.
	ErrKeyWindow = errors.New("no room for another idempotency key for now")
	// ErrTooManyTopics: the record is for a new topic, and the spool has spool.max.topics already.
	// Nothing was taken.
	ErrTooManyTopics = errors.New("no room for another topic")
	// ErrForeign: the spool was made on another machine, or is a copy (Env.AdoptSpool).
	ErrForeign = errors.New("the spool was made elsewhere, or is a copy of one")
	// ErrDeadLettered: the cluster refused the record for good, and it is a dead letter now. While
	// the reason is known, the error is a *RefusedError, too.
	ErrDeadLettered = errors.New("the record was moved to the dead letters")
	// ErrLost: damage to the disk has taken the record before it was known to be delivered.
	ErrLost = errors.New("the record is lost")
	// ErrExpired: the record was dropped by policy before it was delivered, or its delivery.timeout.ms was over and it is a dead
	// letter now.
	ErrExpired = errors.New("the record was dropped by policy")
)

var (
	errCallbacksFull = fmt.Errorf("callbacks.max callbacks are outstanding: %w", ErrFull)
	errNoRecord      = fmt.Errorf("%w: the zero Delivery belongs to no record", ErrUnknown)
)

// LockedError: another process has the spool.
type LockedError struct {
	Path string
	PID  int // 0: not known
}

func (e *LockedError) Error() string { return (*bolt.LockedError)(e).Error() }

// NoSpoolError: there is no spool in the directory that was to be looked into. It is an fs.ErrNotExist.
type NoSpoolError struct{ Path string }

func (e *NoSpoolError) Error() string        { return (*bolt.NoSpoolError)(e).Error() }
func (e *NoSpoolError) Is(target error) bool { return (*bolt.NoSpoolError)(e).Is(target) }

// VersionError: a newer spoold wrote the spool.
type VersionError struct {
	Path string // of the file
	Err  error
}

func (e *VersionError) Error() string { return (*bolt.VersionError)(e).Error() }
func (e *VersionError) Unwrap() error { return e.Err }

// SpaceError: the file system was full when a commit was made. It is also an ErrUnknown. The
// Producer opens its spool again by itself, as soon as there is room for a first commit.
type SpaceError struct{ Err error }

func (e *SpaceError) Error() string        { return (*bolt.SpaceError)(e).Error() }
func (e *SpaceError) Unwrap() error        { return e.Err }
func (e *SpaceError) Is(target error) bool { return target == ErrUnknown }

// NoBlock in a CorruptError: the damage is not in one block.
const NoBlock = ^uint64(0)

// CorruptError: what is on the spool's disk is not what was written there. Nothing is
// guessed from it.
type CorruptError struct {
	Segment uint64 // number of the file
	Block   uint64 // NoBlock: in the structure of the file, or in the state
	What    string // is wrong
	Path    string // of the file; "": not known
}

func (e *CorruptError) Error() string { return (*spool.CorruptError)(e).Error() }

// DamageError: records that were read back from the spool contradict each other. Nothing is
// guessed from them.
type DamageError struct{ Err error }

func (e *DamageError) Error() string { return (*sender.DamageError)(e).Error() }
func (e *DamageError) Unwrap() error { return e.Err }

// RefusedError: the cluster refused a record for good. It is also an ErrDeadLettered.
type RefusedError struct {
	Code    string // Kafka's name of it, such as MESSAGE_TOO_LARGE
	Message string // the broker's words, or ""
}

func (e *RefusedError) Error() string        { return (*sender.RefusedError)(e).Error() }
func (e *RefusedError) Is(target error) bool { return target == ErrDeadLettered }

// ResolveError says why Resolve did nothing.
type ResolveError struct {
	Why     string
	Nothing bool // there is nothing to decide on
	Again   bool // it may be decided on in a moment
}

func (e *ResolveError) Error() string { return (*sender.ResolveError)(e).Error() }

// ForeignClusterError: the brokers are not of the cluster that the spool belongs to.
type ForeignClusterError struct {
	Bound string // the cluster id that the spool belongs to
	Found string // the cluster id of the brokers
}

func (e *ForeignClusterError) Error() string { return (*sender.ForeignClusterError)(e).Error() }

// StoppedError: somebody else used the spool's identity: it is a restored copy, or has a clone.
type StoppedError struct {
	Reason   string
	Recorded bool // an earlier start found it
}

func (e *StoppedError) Error() string { return (*sender.StoppedError)(e).Error() }

// RecordError: a record of a batch cannot be taken, and nothing of the batch was. It is also what Err is: ErrTooLarge, ErrInvalidRecord, a
// *SerializationError, or what a Partitioner returned.
type RecordError struct {
	Index int // of the record
	Of    int // how many the batch has
	Err   error
}

func (e *RecordError) Error() string { return fmt.Sprintf("record %d of %d: %v", e.Index, e.Of, e.Err) }
func (e *RecordError) Unwrap() error { return e.Err }

// ConfigError says what is wrong with one configuration key.
type ConfigError struct {
	Key   string
	Value string // "" if it was empty, or may be a secret
	What  string // what is wrong and what to do
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "config: %s", e.Key)
	if e.Value != "" {
		fmt.Fprintf(&b, " = %q", e.Value)
	}
	b.WriteString(": ")
	b.WriteString(strings.ReplaceAll(e.What, "\n", "; ")) // several faults of one value
	return b.String()
}

// find is the E in err, or its zero value.
func find[E error](err error) (e E) {
	errors.As(err, &e)
	return e
}

// as reports whether err has an E in it.
func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
