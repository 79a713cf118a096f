package spool

import "github.com/spoold/spoold/protocol"

// Transaction is what must survive about the transactional id: what was decided last, and what is
// known to have become of it. Put whole whenever something in it changes.
type Transaction struct {
	ID string // the transactional id; "": none was ever set
	// Identity is the producer id and epoch that was given last, for people and to recognise the
	// coordinator's own abort.
	Identity  protocol.ProducerIdentity
	Committed uint64 // records that left the spool in a committed transaction, ever
	TookOver  string // ids of other spools whose progress under the transactional id is accepted, separated by spaces; "*" for all until they are read
	// KeyTopic: progress is committed on its partition 0. Set once it was committed there.
	KeyTopic string
	Fenced   string // not "": another producer has the transactional id, why we think so
	FencedBy string // id of the other spool, if it is one
	Decision Decision
	// Parked are decided transactions of which it cannot be known whether they were committed, the oldest first: an operator has
	// to say so. Their records stay, and so does what lies behind them in their lanes.
	Parked []Decision
	// Unconfirmed are transactions that were committed, as their coordinator says, and whose markers were not seen in all logs yet,
	// the oldest first. Their records stay.
	Unconfirmed []Decision
	// Topics and Groups are those that units which are not spooled wrote to or committed offsets for, the latest last: a start
	// looks there, too, for transactions that were left open.
	Topics, Groups []string
}

// Decision is a transaction that was to be ended with commit. It is durable before the first byte
// of EndTxn(commit) leaves, and the answer before the first byte of the next transaction.
type Decision struct {
	Ordinal    uint64 // rises with every decision of this spool; 0: there was none
	Outcome    TransactionOutcome
	Identity   protocol.ProducerIdentity
	EndVersion int16  // of EndTxn: a copy in another version is answered wrongly
	Key        string // topic on whose partition 0 the transaction has its progress
	DecidedAt  int64  // wall clock, ms
	Park       Park   // the outcome cannot be known: an operator has to
	// Cut says up to where the transaction reaches in each lane that it has records of.
	Cut        []CutLane
	Partitions []DecidedPartition
}

// noTransaction is what a spool has that never had a transactional id.
var noTransaction = Transaction{Identity: protocol.NoIdentity, Decision: Decision{Identity: protocol.NoIdentity}}

// Open reports whether the outcome is not known.
func (d *Decision) Open() bool { return d.Ordinal > 0 && d.Outcome == OutcomeOpen }

// TransactionOutcome is what became of a decided transaction.
type TransactionOutcome uint8

// Outcomes of a decided transaction.
const (
	OutcomeOpen TransactionOutcome = iota
	OutcomeCommitted
	OutcomeAborted
	OutcomeParked // see Transaction.Parked
)

// CutLane is the run of a lane that a transaction carries: whatever has not left of it.
type CutLane struct {
	Lane LaneID
	Span
}

// DecidedPartition is one partition that the transaction wrote to.
type DecidedPartition struct {
	Topic     string
	Partition int32
	TopicID   protocol.TopicID
	First     protocol.Offset // of its first record there; NoOffset: not known
	Last      protocol.Offset // of its last; NoOffset: not known, or an older program wrote the spool
	Records   int32
	// Spans are its records there, in the topic's lane; nil: not known. They are written down before a lost marker is written again.
	Spans []Span
}

const prefixTransaction = 't' // what is known of the transactional id

// Versions of the value's layout. The last one is written.
const (
	transactionCodec       = 1
	transactionCodecParked = 2 // with parked transactions at the end
	transactionCodecMarked = 3 // with unconfirmed ones, topics and groups behind them
	transactionCodecLast   = 4 // with DecidedPartition.Last and Spans
)

func (c *Changes) transaction(t *Transaction) {
	e := newEnc()
	e.byte(transactionCodecLast)
	e.str(t.ID)
	e.identity(t.Identity)
	e.u64(t.Committed)
	e.str(t.TookOver)
	e.str(t.KeyTopic)
	e.str(t.Fenced)
	e.str(t.FencedBy)
	e.decision(&t.Decision)
	e.decisions(t.Parked)
	e.decisions(t.Unconfirmed)
	e.strs(t.Topics)
	e.strs(t.Groups)
	c.put([]byte{prefixTransaction}, e.b)
}

func (e *enc) decisions(list []Decision) {
	e.u64(uint64(len(list)))
	for i := range list {
		e.decision(&list[i])
	}
}

func (e *enc) strs(list []string) {
	e.u64(uint64(len(list)))
	for _, s := range list {
		e.str(s)
	}
}

func (e *enc) decision(d *Decision) {
	e.u64(d.Ordinal)
	e.byte(byte(d.Outcome))
	e.identity(d.Identity)
	e.i64(int64(d.EndVersion))
	e.str(d.Key)
	e.i64(d.DecidedAt)
	e.str(d.Park.Reason)
	e.str(d.Park.Detail)
	e.i64(d.Park.At)
	e.u64(uint64(len(d.Cut)))
	for _, x := range d.Cut {
		e.u64(uint64(x.Lane))
		e.u64(uint64(x.First))
		e.u64(uint64(x.End - x.First))
	}
	e.u64(uint64(len(d.Partitions)))
	for _, x := range d.Partitions {
		e.str(x.Topic)
		e.i64(int64(x.Partition))
		e.raw(x.TopicID[:])
		e.i64(int64(x.First))
		e.i64(int64(x.Last))
		e.i64(int64(x.Records))
		e.spans(x.Spans)
	}
}

func decodeTransaction(v *dec) Transaction {
	version := v.byte()
	if version < transactionCodec || version > transactionCodecLast {
		v.fail()
	}
	t := Transaction{ID: v.str(), Identity: v.identity(), Committed: v.u64(), TookOver: v.str(), KeyTopic: v.str(), Fenced: v.str(), FencedBy: v.str()}
	t.Decision = decodeDecision(v, version)
	if version >= transactionCodecParked {
		t.Parked = decodeDecisions(v, version)
	}
	if version >= transactionCodecMarked {
		t.Unconfirmed, t.Topics, t.Groups = decodeDecisions(v, version), v.strs(), v.strs()
	}
	return t
}

func decodeDecisions(v *dec, version byte) (list []Decision) {
	for range v.upTo(uint64(len(v.b))) {
		list = append(list, decodeDecision(v, version))
	}
	return list
}

func (v *dec) strs() (list []string) {
	for range v.upTo(uint64(len(v.b))) {
		list = append(list, v.str())
	}
	return list
}

func decodeDecision(v *dec, version byte) (d Decision) {
	d.Ordinal = v.u64()
	if d.Outcome = TransactionOutcome(v.byte()); d.Outcome > OutcomeParked {
		v.fail()
	}
	d.Identity = v.identity()
	d.EndVersion = int16(v.within(0, 1<<15-1))
	d.Key, d.DecidedAt = v.str(), v.i64()
	d.Park = Park{Reason: v.str(), Detail: v.str(), At: v.i64()}
	for range v.upTo(uint64(len(v.b))) {
		x := CutLane{Lane: LaneID(v.upTo(1<<32 - 1))}
		x.First = Index(v.upTo(maxNumber))
		x.End = x.First + Index(v.upTo(maxNumber))
		d.Cut = append(d.Cut, x)
	}
	for range v.upTo(uint64(len(v.b))) {
		x := DecidedPartition{Topic: v.str(), Partition: v.i32()}
		copy(x.TopicID[:], v.raw(len(x.TopicID)))
		x.First, x.Last = protocol.Offset(v.i64()), protocol.NoOffset
		if version >= transactionCodecLast {
			x.Last = protocol.Offset(v.i64())
		}
		x.Records = v.i32()
		if version >= transactionCodecLast {
			x.Spans = v.spans()
		}
		d.Partitions = append(d.Partitions, x)
	}
	return d
}

// cuts are the runs that the decision, the parked and the unconfirmed transactions speak of.
func (t *Transaction) cuts() []CutLane {
	return t.waiting(t.Decision.Cut)
}

// undecided are the runs of which nobody has seen yet what became of them.
func (t *Transaction) undecided() []CutLane {
	if t.Decision.Open() {
		return t.cuts()
	}
	return t.waiting(nil)
}

func (t *Transaction) waiting(list []CutLane) []CutLane {
	for _, more := range [][]Decision{t.Parked, t.Unconfirmed} {
		for i := range more {
			list = append(list[:len(list):len(list)], more[i].Cut...)
		}
	}
	return list
}
