package sender

import (
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Event is something that a program or an operator may act on: one of the
// types of this file. Pure code returns them; the loop passes them to Hooks.
type Event = any

// What happens to one partition is said by its machine.
type (
	BatchAcked         = idempotence.BatchAcked
	BatchRetried       = idempotence.BatchRetried
	PartitionParked    = idempotence.PartitionParked
	PartitionUnparked  = idempotence.PartitionUnparked
	RecordDeadLettered = idempotence.RecordDeadLettered
	TopicTrouble       = idempotence.TopicTrouble
	EpochBumped        = idempotence.EpochBumped
)

// LinkChanged says that the cluster was reached, or lost.
type LinkChanged struct {
	Up  bool
	Err string // why it is down
}

// CopyUnchecked says that a start went on although not all leaders had answered within request.timeout.ms what they have
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

// PartitionsCounted says how many partitions a topic has: when that is known first, and when it is another number. It comes before
// anything of the topic is acked on the strength of it.
type PartitionsCounted struct {
	Topic string
	Count int32
}

// TopicRecovered says that what a TopicTrouble said of a topic is over. The loop makes it, of acks and of Status.
type TopicRecovered struct {
	Topic     string
	Delivered bool // of the one that said so
}

// TopicRecreated says that a topic is another one of that name now, and that its records go there: nothing of it was
// in doubt.
type TopicRecreated struct {
	Topic    string
	From, To protocol.TopicID
}

// RecordsDropped says that records were dropped by policy. They are no dead letters: the spool keeps a gap.
type RecordsDropped struct {
	Topic   string
	Records int
	Rule    string // the policy
	Why     string // what they waited for
}

// Status is the core's view of delivery, one topic at a time.
type Status struct {
	ClusterID string
	Producer  protocol.ProducerIdentity // taken by this start, or NoIdentity
	LinkUp    bool
	LinkErr   string
	Foreign   string // id of the cluster that the brokers are of, where the link is down for that
	LinkSince int64  // Age
	Brokers   int    // connected
	Retries   uint64
	Topics    []TopicStatus
	// Transaction is nil without a transactional id.
	Transaction *TransactionStatus
}

// TransactionStatus is the transactional id.
type TransactionStatus struct {
	ID          string
	State       string
	Version     int16 // of the protocol that runs, 1 or 2; 0: not known yet
	Finalized   int16 // transaction.version of the cluster, which is 0 where 1 runs, too
	Coordinator int32 // broker; -1: not known
	Identity    protocol.ProducerIdentity
	Ordinal     uint64 // of the last transaction that was decided
	Committed   uint64 // records in committed transactions, ever
	Open        bool   // a transaction is
	OpenMs      int64
	Records     int        // in it
	InDoubt     bool       // a former process has decided on a transaction, and its outcome is not known yet
	Parked      int        // transactions wait for an operator to say what became of them
	Park        spool.Park // of the oldest of them
	Unconfirmed int        // transactions that were committed, and whose markers were not all seen yet
	Missing     int        // markers that are missing now
	Written     int        // markers that were missing and were written since the start
	Fenced      string     // not "": another producer has the id, why we think so
	Detail      string
	Broker      *BrokerTransaction // nil: it was not asked yet
}

// BrokerTransaction is what the coordinator says of the transactional id.
type BrokerTransaction struct {
	Coordinator int32
	At, AgoMs   int64  // Age at which it was asked, and how long that was ago
	State       string // in Kafka's words
	Identity    protocol.ProducerIdentity
	TimeoutMs   int32
	StartedAt   int64  // of the open transaction, by the broker's clock; -1: none is open
	Partitions  int    // in it
	Err         string // not "": why it did not say
}

// TransactionOperation is an operator's decision about the transactional id.
type TransactionOperation string

// Words of an operator.
const (
	TransactionAbort     TransactionOperation = "abort"     // the open transaction, which is sent again
	TransactionCommitted TransactionOperation = "committed" // what became of the parked one
	TransactionAborted   TransactionOperation = "aborted"
	TransactionTakeOver  TransactionOperation = "take-over" // take the id back from another producer
)

// TopicStatus is one lane.
type TopicStatus struct {
	Lane    spool.LaneID
	Topic   string
	TopicID protocol.TopicID
	End     spool.Index
	Settled spool.Index // all below have left
	State   string      // "delivering", "idle", "waiting", "unknown-topic", "parked", "resolving"
	Detail  string
	Trouble string // why records cannot leave though the cluster is reached: for an operator, or for time, to mend; ""
	// PartitionCount is how many partitions the topic has; 0: not known.
	PartitionCount int32
	Partitions     []PartitionStatus
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
