package spoold

import (
	"time"

	"github.com/spoold/spoold/protocol"
)

// Hooks are what a program wants to be called for. Each func may be nil.
//
// They are called one after the other on the goroutine that delivers (SpoolCommit: on the one
// that commits), so they must return soon: what they take is taken from delivery. A hook must
// not call a method of the Producer that waits. A hook that panics is logged and the
// Producer goes on. Events are facts about what has happened; no hook can change it. A value
// belongs to the hook that receives it.
type Hooks struct {
	BatchAcked           func(BatchAcked)
	BatchRetried         func(BatchRetried)
	PartitionParked      func(PartitionParked)
	PartitionUnparked    func(PartitionUnparked)
	RecordDeadLettered   func(RecordDeadLettered)
	RecordsDropped       func(RecordsDropped)
	LinkChanged          func(LinkChanged)
	TopicTrouble         func(TopicTrouble)
	TopicRecovered       func(TopicRecovered)
	TopicRecreated       func(TopicRecreated)
	EpochBumped          func(EpochBumped)
	CopyUnchecked        func(CopyUnchecked)
	Recovery             func(Recovery)
	TransactionEnded     func(TransactionEnded)
	TransactionTrouble   func(TransactionTrouble)
	TransactionRecovered func(TransactionRecovered)
	SpoolCommit          func(SpoolCommit)
	SegmentDamaged       func(SegmentDamaged)
	ProduceRequest       func(ProduceRequest)
	Panicked             func(Panicked)
	InterceptorFailed    func(InterceptorFailed)
}

// ErrorCode is an error code of Kafka's protocol.
type ErrorCode int16

// String is Kafka's name of the code, such as NOT_LEADER_OR_FOLLOWER.
func (c ErrorCode) String() string { return protocol.ErrorCode(c).String() }

// How a batch was found to be on the cluster.
const (
	AckedByAnswer = "answer"      // the broker answered its Produce request
	AckedByName   = "named"       // the broker named it as the producer's last (DescribeProducers), and a later answer came
	AckedByTail   = "tail"        // it was read back from the partition's log
	AckedByCommit = "transaction" // its Kafka transaction was committed
)

// BatchAcked: a batch is on all in-sync replicas. After a crash it may come again for a batch
// whose ack was not on the spool's disk yet.
type BatchAcked struct {
	Topic     string
	Partition int32
	Records   int   // 1 or more
	Bytes     int   // of the batch, uncompressed
	Offset    int64 // of the first record; -1: it is there, but its place is not known
	Recovered bool  // its records were spooled by an earlier Open of this spool
	How       string
	Latency   time.Duration // from sending its Produce request to the answer; 0 unless How is AckedByAnswer
}

// BatchRetried: a batch is sent once more under the same identity, so the broker
// can recognise it.
type BatchRetried struct {
	Topic     string
	Partition int32
	Code      ErrorCode // what was answered to the copy before; 0: nothing was
}

// PartitionParked: a partition waits for Resolve. What became of its batch in doubt cannot
// be found out, so sending it again may duplicate it, and dropping it may lose it.
type PartitionParked struct {
	Topic     string
	Partition int32
	Reason    string // one word or a few with dashes, as in PartitionStatus.ParkReason
	Detail    string // for people
	InDoubt   int    // records whose fate is not known
}

// PartitionUnparked: Resolve released a partition.
type PartitionUnparked struct {
	Topic     string
	Partition int32
	Choice    ResolveChoice
	Records   int // that were in doubt
}

// RecordDeadLettered: the cluster refused a record for good.
type RecordDeadLettered struct {
	Topic     string
	Partition int32
	Index     uint64 // the record's place among those of its topic in the spool, from 0
	Code      ErrorCode
	Message   string // the broker's words, or ""
}

// RecordsDropped: records were dropped by policy, without having been delivered; they are no dead letters.
type RecordsDropped struct {
	Topic   string
	Records int
	Rule    string // the policy
	Why     string // what they waited for
}

// LinkChanged: the cluster was reached, or lost, or cannot be reached for another reason than before.
type LinkChanged struct {
	Up  bool
	Err string // why it is down
}

// TopicTrouble: a topic cannot be delivered to for now. Its records stay spooled. The same reason is reported once until TopicRecovered, or
// once after each look at the cluster's layout (metadata.max.age.ms).
type TopicTrouble struct {
	Topic   string
	Code    ErrorCode
	Message string // why, and what to do
	// Delivered: records are delivered all the same, more slowly or with less certainty: a right is missing (READ).
	Delivered bool
}

// TopicRecovered: what TopicTrouble said of a topic is over. Records of it were acked since, or none waits any more; or, with Delivered, the right
// that was missing is there.
type TopicRecovered struct {
	Topic     string
	Delivered bool // of the TopicTrouble that is over
}

// TopicRecreated: a topic was deleted and created anew while nothing of it was in doubt. Its records go to the new one.
type TopicRecreated struct {
	Topic    string
	From, To string // ids of the former and of the new topic
}

// EpochBumped: a partition went on at sequence 0 of the next producer epoch.
type EpochBumped struct {
	Topic         string
	Partition     int32
	ProducerID    int64
	ProducerEpoch int16
	Why           string
}

// CopyUnchecked: a start went on although not all leaders had said within request.timeout.ms
// what they have of the producer id of the start before. If this spool is an older copy, that
// may be noticed late, or never.
type CopyUnchecked struct {
	Unasked int // partitions that pending records may go to and whose leader did not answer
}

// Recovery says what a start found, once, before anything is sent.
type Recovery struct {
	Pending    uint64 // records spooled by earlier processes and not acked
	Seals      int    // batches that were sent, perhaps, and whose fate is not known
	Partitions int    // that have such batches
}

// ProduceRequest: a Produce request has ended. What came of its batches is reported after it.
type ProduceRequest struct {
	Broker       int32
	Batches      int
	Records      int
	Bytes        int           // of the batches on the wire; 0 with Err
	Uncompressed int           // of the same batches before compression; 0 with Err
	Duration     time.Duration // from sending it to the answer
	Throttle     time.Duration // that the broker asked to wait
	Splits       int           // batches cut, because they were refused, since the event before
	Err          error         // no answer came
}

// SpoolCommit is what one commit of the spool did.
type SpoolCommit struct {
	Duration time.Duration // the sync included
	Records  int
	Bytes    int // of the records, as they are on the disk
}

// SegmentDamaged: a file of the spool that holds records is not what was written to it. It was set aside and is kept; what its
// checksums vouch for is delivered. Open calls the hook before it returns.
type SegmentDamaged struct {
	Segment     uint64
	Path        string // of the file, under its new name
	What        string // is wrong
	Kept        int    // records that are needed and are there
	Lost        int    // records that are gone; TopicStatus.Gaps has the ranges
	InDoubt     int    // more that are gone but may have reached the cluster, which is asked for them
	DeadLetters int    // that are gone
	Divided     int    // records moved to the dead letters, as others of their transaction or batch are lost
	KeyBlocks   int    // commits whose idempotency keys are gone: a repeat of one of them is taken as new
}

// Panicked: a function that the program supplied panicked. It was recovered, and the Producer goes on.
type Panicked struct {
	Where string // "callback", "hook", "interceptor", "partitioner" or "serializer"
	Value any    // of the panic
	Stack []byte // of the goroutine at that moment
}
