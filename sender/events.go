package sender

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Event is something that a program or an operator may want to know: one of the
// types of this file. Pure code returns them; the loop passes them to Hooks.
type Event interface{ event() }

// BatchAcked says that a batch is on all in-sync replicas. After a crash it may
// be told again for a batch whose settlement was still owed.
type BatchAcked struct {
	Topic     string
	Partition int32
	Records   int
	Bytes     int
	Offset    protocol.Offset // NoOffset: known to be there, place unknown
	// Recovered: its records were spooled by an earlier process.
	Recovered bool
	// How it was learnt: "answer", "named" (DescribeProducers and a later ack), "tail" (read in the log).
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
	InDoubt   int // sealed records that nobody knows the fate of
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

// LinkChanged says that the cluster was reached, or lost.
type LinkChanged struct {
	Up  bool
	Err string // why it is down
}

// TopicTrouble says that a topic cannot be delivered to for now.
type TopicTrouble struct {
	Topic   string
	Code    protocol.ErrorCode
	Message string
}

// EpochBumped says that a partition went on at sequence 0 of the next epoch.
type EpochBumped struct {
	Topic     string
	Partition int32
	Identity  protocol.ProducerIdentity
	Why       string
}

// CopyUnchecked says that a start went on although not all leaders had said within request.timeout.ms what they know
// of the last start's producer id: should this spool be an older copy, it may be noticed late, or never (P11).
type CopyUnchecked struct {
	Unasked int // partitions that pending records may go to
}

// Recovery says what a start found in doubt, once, before anything is sent.
type Recovery struct {
	Pending    uint64 // records spooled by earlier processes and not settled
	Seals      int    // batches whose fate is not known
	Partitions int    // that have such batches
}

func (BatchAcked) event()         {}
func (BatchRetried) event()       {}
func (PartitionParked) event()    {}
func (PartitionUnparked) event()  {}
func (RecordDeadLettered) event() {}
func (LinkChanged) event()        {}
func (TopicTrouble) event()       {}
func (EpochBumped) event()        {}
func (CopyUnchecked) event()      {}
func (Recovery) event()           {}

// Status is the core's view of delivery, one topic at a time.
type Status struct {
	ClusterID string
	Producer  protocol.ProducerIdentity // taken by this start, or NoIdentity
	LinkUp    bool
	LinkErr   string
	LinkSince int64 // Age
	Brokers   int   // connected
	Retries   uint64
	Topics    []TopicStatus
}

// TopicStatus is one lane.
type TopicStatus struct {
	Lane       spool.LaneID
	Topic      string
	TopicID    protocol.TopicID
	End        spool.Index
	Settled    spool.Index // all below have left
	State      string      // "delivering", "idle", "waiting", "unknown-topic", "parked", "resolving"
	Detail     string
	Partitions []PartitionStatus
}

// PartitionStatus is one partition that something was ever sent to, or that is parked.
type PartitionStatus struct {
	Partition  int32
	Leader     int32  // -1: none known
	State      string // "ready", "waiting", "asking", "resolving", "parked"
	InFlight   int    // batches sealed and not settled
	InDoubt    int    // records in them
	LastOffset protocol.Offset
	Identity   protocol.ProducerIdentity
	Park       spool.Park
	Detail     string
	MayAsk     bool // false: no right to DescribeProducers (READ on the topic)
}
