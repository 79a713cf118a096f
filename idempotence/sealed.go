package idempotence

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Sealed is one batch that has its identity and is not settled. A Machine owns it.
type Sealed struct {
	Seal  spool.Seal
	Batch *accumulator.Batch // nil: its bytes are in the spool only

	durable bool // its seal is: it may be sent
	sent    bool // a copy is on the wire, unanswered
	found   bool // sealed by an earlier process
	lost    bool // found, and some of its records cannot be read any more: it is never sent again
	copies  int  // ever written to a socket by this process
	maybe   int  // copies that may have been appended, answers notwithstanding
	// unknownID: of maybe, those that were answered UNKNOWN_TOPIC_ID.
	unknownID int
	acked     bool
	offset    protocol.Offset
	stamp     int64 // LogAppendTime, or -1
	notUntil  int64 // Age: it waits for time to pass, see waitForTime
	waitsFor  string
	// The last answer, if it was an error.
	code    protocol.ErrorCode
	message string
	bad     []BadRecord // records that the answer named
	led     bool        // another broker was known to lead when the answer came
}

// Durable says that the seal is on disk.
func (b *Sealed) Durable() { b.durable = true }

// inDoubt reports whether a copy may be in the log that no answer accounts for.
func (b *Sealed) inDoubt() bool { return b.maybe > 0 || b.found }

// why is what the broker said of the record at a place.
func (b *Sealed) why(place int32) string {
	for _, r := range b.bad {
		if r.Place == place && r.Message != "" {
			return r.Message
		}
	}
	return b.message
}

// reason is why the batch was not acked, for people; "" if nothing is known.
func (b *Sealed) reason() string {
	switch {
	case b.code != 0 && b.message != "":
		return b.code.String() + ": " + b.message
	case b.code != 0 && len(b.bad) > 0 && b.bad[0].Message != "":
		return b.code.String() + ": " + b.bad[0].Message
	case b.code != 0:
		return b.code.String()
	}
	return b.message
}

// BadRecord is a record that a broker refuses.
type BadRecord struct {
	Place   int32 // in the batch
	Message string
}

// Answer is what came back for one copy of one batch.
type Answer struct {
	Code    protocol.ErrorCode
	Offset  protocol.Offset
	Stamp   int64 // LogAppendTime, or -1
	Message string
	Bad     []BadRecord // records that are named
	Lost    bool        // no answer came
	Led     bool        // another broker is known to lead now: it named it (KIP-951), or metadata did
	// NeverWritten: with Lost, not a byte of it has left this host.
	NeverWritten bool
}

// NoAnswer is the Answer when none came, for the reason in message.
func NoAnswer(message string) Answer {
	return Answer{Lost: true, Offset: protocol.NoOffset, Stamp: -1, Message: message}
}
