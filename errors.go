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
	ErrClosed = bolt.ErrClosed
	// ErrFull: no room in the spool within max.block.ms or the context. Nothing was taken.
	ErrFull = bolt.ErrFull
	// ErrUnknown: the disk failed while the record was on its way to it. It may be
	// spooled or not; the next Open knows, and delivers it if it is. With
	// Batch.Key it can be sent again without risk.
	ErrUnknown = bolt.ErrPoisoned
	// ErrTooLarge: the record is over max.request.size, or a batch over what one commit holds.
	ErrTooLarge = bolt.ErrTooLarge
	// ErrInvalidRecord: it can never be delivered as it is: topic's name, partition, timestamp, note.
	ErrInvalidRecord = bolt.ErrInvalid
	// ErrKeyReused: Batch.Key was used for other records.
	ErrKeyReused = bolt.ErrKeyReused
	// ErrKeyWindow: idempotency.max.keys came within 15 minutes; none is forgotten
	// sooner. Nothing was taken; try again later.
	ErrKeyWindow = bolt.ErrKeyWindow
	// ErrTooManyTopics: the record is for a new topic, and the spool has spool.max.topics already. Nothing was taken.
	ErrTooManyTopics = bolt.ErrTooManyTopics
	// ErrForeign: the spool was made on another machine, or is a copy (Env.AdoptSpool).
	ErrForeign = bolt.ErrForeign
	// ErrDeadLettered: the cluster refused the record for good, some time ago. While
	// the reason is known, it is a *RefusedError.
	ErrDeadLettered = bolt.ErrDeadLettered
)

var errCallbacksFull = fmt.Errorf("callbacks.max callbacks are outstanding: %w", ErrFull)

// What operators read, with errors.As.
type (
	// LockedError: another process has the spool.
	LockedError = bolt.LockedError
	// VersionError: a newer spoold wrote the spool.
	VersionError = bolt.VersionError
	// SpaceError: the file system was full when a commit was made.
	SpaceError = bolt.SpaceError
	// CorruptError: what is on disk is not what was written there, and where.
	CorruptError = spool.CorruptError
	// RefusedError: the cluster refused a record for good.
	RefusedError = sender.RefusedError
	// ForeignClusterError: the brokers are not of the cluster that the spool belongs to.
	ForeignClusterError = sender.ForeignClusterError
	// StoppedError: somebody else used the spool's identity: it is a restored copy, or has a clone.
	StoppedError = sender.StoppedError
)

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
	b.WriteString(e.What)
	return b.String()
}

// as reports whether err has an E in it.
func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
