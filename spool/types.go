package spool

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
)

// LaneID is the small number that a topic has in this spool. It is given when
// the first record for the topic arrives and never used again for another.
type LaneID uint32

// Index is a record's place in its lane: the first record that was ever spooled
// for a topic has 0, the next 1. It never goes back and has no gaps, so
// what is settled of a lane is mostly one number (see Set).
type Index uint64

// Span is a run of entries of one lane, from First up to but not including End.
type Span struct {
	First, End Index
}

// Len is how many entries the span holds.
func (s Span) Len() int { return int(s.End - s.First) }

func (s Span) String() string { return fmt.Sprintf("[%d,%d)", s.First, s.End) }

// Identity is a producer id as the spool keeps it.
type Identity = protocol.ProducerIdentity

// SealKey names a seal: one batch on one partition under one identity.
type SealKey struct {
	Lane      LaneID
	Partition int32
	Identity  protocol.ProducerIdentity
	Base      protocol.Sequence
}

// Seal is a batch's membership and identity, made durable before its first
// byte leaves.
type Seal struct {
	SealKey
	Count        int32  // records; equals the sum of Spans
	Spans        []Span // exactly which entries, ascending
	TopicID      protocol.TopicID
	MaxTimestamp int64           // largest record timestamp, ms since 1970
	SealedAt     int64           // wall clock, ms since 1970, for people
	SealedAge    int64           // spool clock (Clock), ms: what the margin is measured by
	Tail         protocol.Offset // where to read the log from when looking for this batch
	Ordinal      uint64          // rises with every seal of this spool: the order they were made in
	// Refused is the code of a refusal that may not be final: another copy of
	// the batch could still be in the log. 0: none.
	Refused protocol.ErrorCode
}

// PartitionState is what must survive about one partition besides its seals.
// Put whole whenever something in it changes.
type PartitionState struct {
	Lane      LaneID
	Partition int32
	// Identity under which the next batch is sealed, and its sequence. A former
	// start's identity until the partition moves over.
	Identity protocol.ProducerIdentity
	Next     protocol.Sequence // sequence after the last sealed
	Settled  protocol.Sequence // last settled under Identity, or protocol.NoSequence
	// LastOffset is the offset of the last acked record, or protocol.NoOffset.
	LastOffset       protocol.Offset
	LastMaxTimestamp int64 // of the last acked batch, ms; meaningful if Settled or LastOffset says so
	Park             Park  // zero: not parked
	// LeaderEpoch is the highest that was received: who leads in an older one is not believed.
	LeaderEpoch int32
}

// Park says why a partition waits for the operator. Reason "" means: it does not.
type Park struct {
	Reason string // one of the Park… constants
	Detail string // for people: what was seen, what was expected
	At     int64  // wall clock, ms
}

// Parked reports whether the partition waits for an operator.
func (p Park) Parked() bool { return p.Reason != "" }

// Reasons for parking.
const (
	ParkTopicRecreated  = "topic-recreated"
	ParkLogWentBack     = "log-went-back"
	ParkStateForgotten  = "state-forgotten"  // the broker forgot the producer while a batch was in doubt
	ParkTailUnreadable  = "tail-unreadable"  // log start is above, or no right to read
	ParkOutsideMargin   = "outside-margin"   // may not be sent again, and is not found
	ParkOvertaken       = "overtaken"        // a later batch was acked, this one is not in the log
	ParkRefused         = "hole"             // refused for good, and what follows cannot be renumbered safely; spools hold this value
	ParkUnexpectedState = "unexpected-state" // the broker names a sequence that no batch of ours ends at
	ParkDamaged         = "damaged"          // a batch in doubt has lost records to damage of the spool, and is not seen in the log
	ParkOutcomeUnknown  = "outcome-unknown"  // it cannot be known what became of a decided transaction
)

// Facts are what the choice of partitions depends on besides the record
// . Both lists ascend by From.
type Facts struct {
	Counts []CountFact
	Sticky []StickyFact
}

// CountFact says: from this index on, the topic has so many partitions.
type CountFact struct {
	From  Index
	Count int32
}

// StickyFact says: from this index on, records without key or partition go there.
type StickyFact struct {
	From      Index
	Partition int32
}

// Outcome is how an entry left the spool.
type Outcome uint8

// Outcomes. Expired counts what policy dropped, too; lost is what damage to the disk took.
const (
	OutcomeAcked Outcome = iota + 1
	OutcomeDeadLettered
	OutcomeExpired
	OutcomeLost
)

// Settlement says that entries are no longer needed.
type Settlement struct {
	Lane    LaneID
	Spans   []Span
	Outcome Outcome
	// Why and At (wall clock, ms) are for the Gap that what expired or was lost leaves, and Partition, if HasPartition.
	Why          string
	At           int64
	Partition    int32
	HasPartition bool
}

// DeadLetter is a record that the cluster refused for good. Its entry is copied
// into the state by the commit that carries this.
type DeadLetter struct {
	Lane      LaneID
	Index     Index
	Partition int32
	Code      protocol.ErrorCode
	Message   string
	Attempts  int32
	At        int64 // wall clock, ms
	InDoubt   bool  // it may have reached the cluster all the same
}

// LaneBinding ties a lane to an incarnation of its topic.
type LaneBinding struct {
	Lane    LaneID
	TopicID protocol.TopicID
	// ResetFacts drops the lane's facts: after a recreated topic was resolved,
	// its unsealed records are partitioned again.
	ResetFacts bool
}

// AuditEntry records an operator's decision or a policy's.
type AuditEntry struct {
	At   int64 // wall clock, ms
	What string
}

// Write is what the sender wants durable, all of it in one commit. Its parts are
// applied in field order. A zero part changes nothing.
type Write struct {
	ID          uint64    // rising; comes back in Commit.Writes
	ClusterID   string    // bind the spool to this cluster (first contact)
	Identity    *Identity // producer id taken by this start
	Bindings    []LaneBinding
	Facts       []LaneFacts // appended to what is known
	Unseal      []SealKey
	Seals       []Seal // put (a seal put again replaces the former one)
	Settle      []Settlement
	DeadLetters []DeadLetter // their settlement is in Settle
	Partitions  []PartitionState
	Transaction *Transaction
	Stop        string // P11: refuse every later start, with this reason
	ClearStop   bool
	Audit       []AuditEntry
}

// LaneFacts are new facts of a lane.
type LaneFacts struct {
	Lane LaneID
	Facts
}

// Empty reports whether there is nothing to write.
func (w *Write) Empty() bool {
	return w.ClusterID == "" && w.Identity == nil && len(w.Bindings) == 0 && len(w.Facts) == 0 &&
		len(w.Unseal) == 0 && len(w.Seals) == 0 && len(w.Settle) == 0 && len(w.DeadLetters) == 0 &&
		len(w.Partitions) == 0 && w.Transaction == nil && w.Stop == "" && !w.ClearStop && len(w.Audit) == 0
}

// Counters are kept since the spool was created, changed in the commit that
// makes the thing true. accepted = acked + pending + dead-lettered + expired + lost.
type Counters struct {
	Accepted, Acked, DeadLettered, Expired, Lost uint64
}

// Pending is what was accepted and has not left.
func (c Counters) Pending() uint64 { return c.Accepted - c.left() }

func (c Counters) left() uint64 { return c.Acked + c.DeadLettered + c.Expired + c.Lost }

// Add is the sum of both.
func (c Counters) Add(d Counters) Counters {
	return Counters{c.Accepted + d.Accepted, c.Acked + d.Acked, c.DeadLettered + d.DeadLettered, c.Expired + d.Expired, c.Lost + d.Lost}
}

// Lane is a topic's way through the spool, as found at a start.
type Lane struct {
	ID       LaneID
	Topic    string
	TopicID  protocol.TopicID // zero: not bound yet
	End      Index            // one above the last committed entry
	Settled  *Set             // which entries have left
	Facts    Facts
	Counters Counters
	// Missing are entries that damage has taken and whose fate is not known: they are sealed, or in a transaction without an outcome.
	Missing     []Span
	DeadLetters int // that are held
}

// Recovered is everything a start finds in a spool, apart from the records.
type Recovered struct {
	SpoolID     string           // random, made with the spool
	Incarnation uint64           // rises by one with every start
	ClusterID   string           // "" : not bound yet
	Former      Identity         // producer id of the last start that had one, or NoIdentity
	Stopped     string           // not "": P11 was seen, refuse
	Lanes       []Lane           // ascending by ID
	Partitions  []PartitionState // ascending by lane, partition
	Seals       []Seal           // ascending by lane, partition, then in the order they were sealed
	Counters    Counters
	Transaction Transaction
	DeadFull    bool            // see Committed
	Damage      []SegmentDamage // that this start met
}

// SegmentDamage says what became of a segment that a start found damaged, and set aside.
type SegmentDamage struct {
	Segment uint64
	Path    string // where the file is now: it is kept
	What    string // what is wrong with it
	Kept    int    // records that are needed and whose checksums hold
	Lost    int    // records that are gone
	InDoubt int    // more that are gone, but may have reached the cluster: that is asked for
	Dead    int    // dead letters that are gone
	Keys    int    // blocks of idempotency keys that are gone: a repeat of such a key may be taken as new
	Divided int    // records that were moved to the dead letters because others of their unit are lost
	Gaps    []Gap  // which records are lost
}
