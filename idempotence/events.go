package idempotence

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// BatchAcked says that a batch is on all in-sync replicas. After a crash it may
// come again for a batch whose settlement was still owed.
type BatchAcked struct {
	Topic     string
	Partition int32
	Records   int
	Bytes     int
	Offset    protocol.Offset // NoOffset: known to be there, place unknown
	// Recovered: its records were spooled by an earlier process.
	Recovered bool
	// How it became known: "answer", "named" (DescribeProducers and a later ack), "tail" (read in the log).
	How string
}

// BatchRetried says that a batch goes out once more under the same identity.
type BatchRetried struct {
	Topic     string
	Partition int32
	Code      protocol.ErrorCode // what was answered to the copy before; 0: nothing was
}

// PartitionParked says that a partition waits for an operator (spoold resolve).
type PartitionParked struct {
	Topic     string
	Partition int32
	Park      spool.Park
	InDoubt   int // sealed records whose fate is not known
}

// PartitionUnparked says that an operator resolved it.
type PartitionUnparked struct {
	Topic     string
	Partition int32
	Choice    Choice
	Records   int
}

// RecordDeadLettered says that the cluster refused a record for good.
type RecordDeadLettered struct {
	Topic     string
	Partition int32
	Index     spool.Index
	Code      protocol.ErrorCode
	Message   string
}

// TopicTrouble says that a topic cannot be delivered to for now.
type TopicTrouble struct {
	Topic     string
	Code      protocol.ErrorCode
	Message   string
	Delivered bool // records are delivered all the same: the message says what is missing
}

// EpochBumped says that a partition went on at sequence 0 of the next epoch.
type EpochBumped struct {
	Topic     string
	Partition int32
	Identity  protocol.ProducerIdentity
	Why       string
}

// RefusedError says that the cluster refused a record for good, or that an operator put it aside.
type RefusedError struct {
	Code    string // Kafka's name of it; "": the cluster was not asked, or does not refuse it
	Message string // the broker's message, or ""
}

func (e *RefusedError) Error() string {
	if e.Code == "" {
		return "an operator put the record aside: " + e.Message
	}
	if e.Message == "" {
		return "the cluster refused the record for good: " + e.Code
	}
	return "the cluster refused the record for good: " + e.Code + ": " + e.Message
}

// Choice is an operator's decision on what is in doubt.
type Choice string

// Choices of Resolve.
const (
	ResolveResend     Choice = "resend"
	ResolveDelivered  Choice = "delivered"
	ResolveDeadLetter Choice = "dead-letter"
	// ResolveDeadLetterWaiting is dead-letter, and with what is in doubt all that waits behind it.
	ResolveDeadLetterWaiting Choice = "dead-letter-waiting"
)
