package spoold

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// observer counts what the loop reports, and passes it to the program's hooks.
type observer struct {
	hooks     *Hooks
	meter     *meter
	telemetry *telemetry
	counts    *partitionCounts
}

// event counts an event of the sender and passes it to its hook. The loop's goroutine calls it.
func (o *observer) event(event sender.Event) {
	var latency time.Duration
	switch e := event.(type) {
	case sender.BatchAcked:
		if e.How == AckedByAnswer {
			latency = o.meter.lastLatency()
		}
	case sender.BatchRetried:
		o.meter.note(&sent{retries: 1})
	case sender.LinkChanged:
		if e.Up {
			o.telemetry.linkUp()
		}
	case sender.PartitionsCounted:
		o.counts.counted(e.Topic, e.Count)
	case sender.RecordDeadLettered:
		o.meter.note(&sent{deadLetter: 1})
	}
	o.hooks.call(event, latency)
}

// produced counts a Produce request and passes it to its hook. The loop's goroutine calls it.
func (o *observer) produced(s loop.Produced) {
	o.meter.produced(&s)
	call(o.hooks, o.hooks.ProduceRequest, ProduceRequest(s))
}

// call passes an event of the sender to its hook, in this package's own type. A hook that
// panics is reported through Panicked.
func (h *Hooks) call(event sender.Event, latency time.Duration) {
	switch e := event.(type) {
	case sender.BatchAcked:
		call(h, h.BatchAcked, BatchAcked{
			Topic: e.Topic, Partition: e.Partition, Records: e.Records, Bytes: e.Bytes,
			Offset: int64(e.Offset), Recovered: e.Recovered, How: e.How, Latency: latency,
		})
	case sender.BatchRetried:
		call(h, h.BatchRetried, BatchRetried{Topic: e.Topic, Partition: e.Partition, Code: ErrorCode(e.Code)})
	case sender.PartitionParked:
		call(h, h.PartitionParked, PartitionParked{
			Topic: e.Topic, Partition: e.Partition, Reason: e.Park.Reason, Detail: e.Park.Detail, InDoubt: e.InDoubt,
		})
	case sender.PartitionUnparked:
		call(h, h.PartitionUnparked, PartitionUnparked{
			Topic: e.Topic, Partition: e.Partition, Choice: ResolveChoice(e.Choice), Records: e.Records,
		})
	case sender.RecordDeadLettered:
		call(h, h.RecordDeadLettered, RecordDeadLettered{
			Topic: e.Topic, Partition: e.Partition, Index: uint64(e.Index), Code: ErrorCode(e.Code), Message: e.Message,
		})
	case sender.RecordsDropped:
		call(h, h.RecordsDropped, RecordsDropped(e))
	case sender.LinkChanged:
		call(h, h.LinkChanged, LinkChanged(e))
	case sender.TopicTrouble:
		call(h, h.TopicTrouble, TopicTrouble{Topic: e.Topic, Code: ErrorCode(e.Code), Message: e.Message, Delivered: e.Delivered})
	case sender.TopicRecovered:
		call(h, h.TopicRecovered, TopicRecovered(e))
	case sender.TopicRecreated:
		call(h, h.TopicRecreated, TopicRecreated{Topic: e.Topic, From: e.From.String(), To: e.To.String()})
	case sender.EpochBumped:
		call(h, h.EpochBumped, EpochBumped{
			Topic: e.Topic, Partition: e.Partition, ProducerID: int64(e.Identity.ID), ProducerEpoch: int16(e.Identity.Epoch), Why: e.Why,
		})
	case sender.CopyUnchecked:
		call(h, h.CopyUnchecked, CopyUnchecked(e))
	case sender.Recovery:
		call(h, h.Recovery, Recovery(e))
	case sender.TransactionEnded:
		call(h, h.TransactionEnded, TransactionEnded{
			TransactionalID: e.ID, Ordinal: e.Ordinal, Committed: e.Committed, Records: e.Records, Partitions: e.Partitions,
			Open: time.Duration(e.Ms) * time.Millisecond, Recovered: e.Recovered, Why: e.Why,
		})
	case sender.TransactionRecovered:
		call(h, h.TransactionRecovered, TransactionRecovered{TransactionalID: e.ID})
	case sender.TransactionTrouble:
		call(h, h.TransactionTrouble, TransactionTrouble{TransactionalID: e.ID, Fenced: e.Fenced, Message: e.Message})
	}
}

// committed passes on what a commit of the spool did.
func (h *Hooks) committed(s bolt.CommitStats) {
	call(h, h.SpoolCommit, SpoolCommit{Duration: s.Duration, Records: s.Records, Bytes: s.Bytes})
}

// call calls a hook, if the program has it.
func call[E any](h *Hooks, hook func(E), e E) {
	if hook == nil {
		return
	}
	defer h.recovered("hook")
	hook(e)
}

// recovered, deferred around a call of the program's code, turns a panic into an event.
func (h *Hooks) recovered(where string) {
	v := recover()
	if v == nil || h.Panicked == nil {
		return
	}
	defer func() { _ = recover() }() // the hook for panics panics: the log has the first one
	h.Panicked(Panicked{Where: where, Value: v, Stack: debug.Stack()})
}

// publicError is an error of an inner package as callers meet it: with its text, and with
// this package's error beside it for errors.Is and errors.As.
type publicError struct{ inner, public error }

func (e *publicError) Error() string   { return e.inner.Error() }
func (e *publicError) Unwrap() []error { return []error{e.public, e.inner} }

// sentinels are this package's errors for those of the spool and the loop.
var sentinels = []struct{ inner, public error }{
	{bolt.ErrClosed, ErrClosed},
	{loop.ErrOver, ErrClosed},
	{bolt.ErrFull, ErrFull},
	{bolt.ErrTooLarge, ErrTooLarge},
	{bolt.ErrInvalid, ErrInvalidRecord},
	{bolt.ErrKeyReused, ErrKeyReused},
	{bolt.ErrKeyWindow, ErrKeyWindow},
	{bolt.ErrTooManyTopics, ErrTooManyTopics},
	{bolt.ErrForeign, ErrForeign},
	{bolt.ErrDeadLettered, ErrDeadLettered},
	{bolt.ErrExpired, ErrExpired},
	{sender.ErrExpired, ErrExpired},
	{sender.ErrDropped, ErrExpired},
	{bolt.ErrLost, ErrLost},
	{bolt.ErrPartOfUnit, ErrPartOfUnit},
	{bolt.ErrPoisoned, ErrUnknown}, // last: it may stand beside one that says more
}

// public gives err as this package documents it. What is public already, or the system's, stays as it is.
func public(err error) error {
	var done *publicError
	if err == nil || errors.As(err, &done) {
		return err
	}
	if e := publicType(err); e != nil {
		return &publicError{err, e}
	}
	for i := range sentinels {
		if errors.Is(err, sentinels[i].inner) {
			return &publicError{err, sentinels[i].public}
		}
	}
	return err
}

// publicType is this package's error for an inner one of a type of its own, or nil.
func publicType(err error) error {
	var (
		locked  *bolt.LockedError
		none    *bolt.NoSpoolError
		version *bolt.VersionError
		space   *bolt.SpaceError
		corrupt *spool.CorruptError
		damage  *sender.DamageError
		refused *sender.RefusedError
		foreign *sender.ForeignClusterError
		stopped *sender.StoppedError
		resolve *sender.ResolveError
	)
	switch {
	case errors.As(err, &locked):
		return (*LockedError)(locked)
	case errors.As(err, &none):
		return (*NoSpoolError)(none)
	case errors.As(err, &version):
		return (*VersionError)(version)
	case errors.As(err, &space):
		return (*SpaceError)(space)
	case errors.As(err, &corrupt):
		return (*CorruptError)(corrupt)
	case errors.As(err, &damage):
		return (*DamageError)(damage)
	case errors.As(err, &refused):
		return (*RefusedError)(refused)
	case errors.As(err, &foreign):
		return (*ForeignClusterError)(foreign)
	case errors.As(err, &stopped):
		return (*StoppedError)(stopped)
	case errors.As(err, &resolve):
		return (*ResolveError)(resolve)
	}
	return nil
}
