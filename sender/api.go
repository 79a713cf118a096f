package sender

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/spool"
)

// Effects is what is to be done after a call, in field order. The slices belong to
// the sender and are reused by its next call: carry them out or copy them first.
type Effects struct {
	// Write is one commit to make, or nil. Urgent: something waits for it; else it
	// may ride with the next commit that goes anyway, or wait for settle.ms.
	// Committed comes back when it is durable; no request below depends on it.
	Write  *spool.Write
	Urgent bool
	// Sealed are the batches whose seals Write holds: their bytes may be made
	// (compressed, header, CRC) while the commit is under way.
	Sealed   []*accumulator.Batch
	Requests []Request
	Deliver  []spool.Delivery
	// Feed is what to read back from the spool; the answer goes to Fed.
	Feed []Feed
	// Recycle are batches that nothing refers to any more.
	Recycle []*accumulator.Batch
	Events  []Event
	// Ended are units that were not spooled and have ended.
	Ended []OnlineEnd
	// Stop ends the producer: nothing more may be sent (P10, P11). The Write beside it is
	// made durable first.
	Stop error
	// WakeAt is the Age to call Tick at if nothing happens before; 0: no need.
	WakeAt int64
}

// Kind says what a Request is.
type Kind uint8

// Kinds of request. Each is answered by exactly one Response.
const (
	// KindConnect opens the connection to Broker and negotiates versions. The
	// response carries Conn. All other requests to a numbered broker fail at once
	// while it is not connected.
	KindConnect Kind = iota + 1
	// KindControl is Message, to Broker; AnyBroker: whichever is connected,
	// or the bootstrap servers in turn.
	KindControl
	// KindProduce is Batches, in one Produce request with acks=all.
	KindProduce
)

// AnyBroker lets the shell choose.
const AnyBroker int32 = -1

// Request is something to put on the wire.
type Request struct {
	ID         uint64
	Kind       Kind
	Broker     int32
	Message    kmsg.Request         // KindControl; its version is the highest both sides have, at most MaxVersion
	MaxVersion int16                // KindControl: cap, or -1
	Batches    []*accumulator.Batch // KindProduce: at most one per partition
	Timeout    int64                // ms until it is given up and the connection closed
	MinVersion int16                // KindControl: an older version would mean something else
	// TransactionalID of the transaction that Batches belong to; "": none. Produce then goes in MaxVersion at most.
	TransactionalID string
}

// Response answers a Request. It is given only after nothing of the request will
// be read any more: its batches' memory may be used again. Requests of one
// connection are answered in the order they were written.
type Response struct {
	ID      uint64
	Err     error // no answer came: closed, timed out, not connected, undecodable
	Written bool  // with Err: a byte of it may have left this host
	// Unsupported: with Err: the broker does not support the request, or not in a version that is new enough.
	Unsupported bool
	Message     kmsg.Response
	Conn        Conn // KindConnect
}

// Conn is what is known of a new connection.
type Conn struct {
	Broker     int32
	ProduceMax int16 // highest version of Produce that both sides have; 13 carries topic ids
}

// Feed asks for entries of a lane from an index on.
type Feed struct {
	Lane  spool.LaneID
	From  spool.Index
	Bytes int // about so many, at least one entry if there is one
	ID    uint64
}

// Fed answers a Feed. The sections begin at or above From; the first one may begin
// below it. Bytes are read only and may be reused after the call.
type Fed struct {
	ID       uint64
	Lane     spool.LaneID
	From     spool.Index
	Sections []spool.Section
	// Next is where the sections end: every entry in [From, Next) that has not left the spool is in them.
	Next spool.Index
}

// Choice is an operator's decision on what is in doubt.
type Choice = idempotence.Choice

// Choices of Resolve.
const (
	ResolveResend     = idempotence.ResolveResend
	ResolveDelivered  = idempotence.ResolveDelivered
	ResolveDeadLetter = idempotence.ResolveDeadLetter

	ResolveDeadLetterWaiting = idempotence.ResolveDeadLetterWaiting
)
