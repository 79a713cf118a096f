package idempotence

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Config is what machines go by. All of it must be given.
type Config struct {
	MaxInFlight       int   // unanswered batches of a partition, 1 to MaxInFlight
	MarginMs          int64 // see protocol.Margin
	RetryBackoffMaxMs int64
	Backoff           *protocol.Backoff
}

// Env is what a call of a Machine is given, and what it leaves behind: all machines of a sender share one.
type Env struct {
	Config
	Accumulator *accumulator.Accumulator
	Now         spool.Time
	// Identity is the producer id of this start, once it is durable; Former that of the last start that had one.
	Identity, Former protocol.ProducerIdentity
	// TopicID is the id of the topic that the partition belongs to.
	TopicID protocol.TopicID
	// MaySeal: nothing in the way of new batches. If not, WhyNot says why, for people.
	MaySeal bool
	WhyNot  string
	// NoIdentity is why there is no producer id yet, for people.
	NoIdentity string
	// Closing: nothing is sealed or read back any more.
	Closing bool
	// DeadFull: no room for dead letters, and none of them is to be dropped for another one.
	DeadFull bool
	// Ordinal is that of the last seal.
	Ordinal uint64

	Steps
}

// Steps are what is to be done for machines, in order. Whoever drives them takes what is there, and empties it.
type Steps struct {
	Write   spool.Write // to be made durable in one commit
	Urgent  bool        // something waits for Write
	Sealed  []*Sealed   // whose seals Write holds: Durable is to be called after the commit
	Changed []*Machine  // whose State belongs into Write: State is to be called for each
	Encode  []*accumulator.Batch
	Deliver []spool.Delivery
	Recycle []*accumulator.Batch // nothing refers to these any more
	Events  []any                // see events.go
	WakeAt  int64                // Age to call Advance at; 0: no need
	Retries uint64               // batches that go out once more
	Splits  int64                // batches cut in two
	// AnotherIdentity: a partition has used up its epochs and waits for another producer id.
	AnotherIdentity bool
	// Damage is not nil if the spool handed out what its own records contradict: nothing more may be done.
	Damage error
}

// Wake asks for a call at the latest at age at.
func (e *Env) Wake(at int64) {
	if at <= e.Now.Age {
		at = e.Now.Age + 1
	}
	if e.WakeAt == 0 || at < e.WakeAt {
		e.WakeAt = at
	}
}

func (e *Env) event(v any) { e.Events = append(e.Events, v) }

func (e *Env) audit(format string, args ...any) {
	e.Write.Audit = append(e.Write.Audit, spool.AuditEntry{At: e.Now.Wall, What: fmt.Sprintf(format, args...)})
}

// leave notes that entries have left, by outcome.
func (e *Env) leave(l *accumulator.Lane, spans []spool.Span, o spool.Outcome) {
	e.Write.Settle = append(e.Write.Settle, spool.Settlement{Lane: l.ID, Spans: spans, Outcome: o})
	l.Settle(e.Accumulator, spans)
}

// recycle gives a batch's memory back. One that was never sent may still be read by
// whoever encodes it: it is only forgotten.
func (e *Env) recycle(b *Sealed) {
	batch := b.Batch
	if batch == nil {
		return
	}
	b.Batch = nil
	if b.copies > 0 && !b.sent {
		e.Recycle = append(e.Recycle, batch)
		e.Accumulator.Recycle(batch)
	} else {
		e.Accumulator.Forget(batch)
	}
}

// putSeal has a seal written, and the batch encoded meanwhile.
func (e *Env) putSeal(s *Sealed) {
	e.Write.Seals = append(e.Write.Seals, s.Seal)
	e.Sealed = append(e.Sealed, s)
	e.Urgent = true
	if s.Batch != nil {
		e.Encode = append(e.Encode, s.Batch)
	}
}
