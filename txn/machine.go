package txn

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// Config is what a machine goes by.
type Config struct {
	ID             string
	TimeoutMs      int32 // transaction.timeout.ms
	RetryBackoffMs int64 // between two tries of a coordinator request
	// RetryBackoffMaxMs bounds that, once steadyTries were in vain: from then on it doubles.
	RetryBackoffMaxMs int64
}

// Transaction versions (the cluster's feature transaction.version).
const (
	V1 int16 = 1 // partitions are announced; the epoch is kept from one transaction to the next
	V2 int16 = 2 // KIP-890: partitions are added by Produce itself; each transaction has its own epoch
)

// Versions of requests. The broker goes by the request's version and not by the feature, so
// they are capped here: a later one in a transaction of version 1 would add partitions by itself.
const (
	endTxnV1          int16 = 4
	endTxnV2          int16 = 5
	offsetCommitV1    int16 = 4
	offsetCommitV2    int16 = 5
	produceV1         int16 = 11
	addPartitionsMax  int16 = 3 // later ones are the brokers' own
	initProducerIDMax int16 = 5
)

// Kind is a request to a coordinator.
type Kind uint8

// Kinds of request, in the order in which they go out.
const (
	FindCoordinator Kind = iota + 1
	InitProducerID
	AddPartitions
	AddOffsets
	CommitOffsets
	EndTxn
	numKinds
)

var kindNames = [numKinds]string{
	"", "FindCoordinator", "InitProducerId", "AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn",
}

func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// AnyBroker as the address of a request: whichever broker is connected.
const AnyBroker int32 = -1

// Request is what goes on the wire now.
type Request struct {
	Kind       Kind
	Broker     int32
	Message    kmsg.Request
	MinVersion int16
	MaxVersion int16
}

// Offset is one consumer offset that a transaction commits.
type Offset struct {
	protocol.TopicPartition
	Offset      int64
	LeaderEpoch int32 // -1: unknown
	Metadata    string
}

// Group is who commits offsets: a consumer (KIP-447), or with Member "" and Generation -1 nobody
// who is a member.
type Group struct {
	ID         string
	Generation int32
	Member     string
	Instance   string // "": none
}

// GroupOffsets are offsets of one group.
type GroupOffsets struct {
	Group
	Offsets  []Offset
	added    bool // version 1: AddOffsetsToTxn was answered
	announce bool // nothing is committed: see AnnounceGroup
}

// Machine is one transactional id's protocol state. Not safe for concurrent use: the sender
// owns it.
type Machine struct {
	cfg      Config
	state    State
	cause    Cause
	err      string
	code     protocol.ErrorCode
	identity protocol.ProducerIdentity
	version  int16 // of the transaction at hand, or of the next one
	wanted   int16 // what the cluster has finalized: from the next transaction on

	coordinators
	contents
	begun    bool // something was added at the coordinator, or may have been
	maybe    bool // the request in flight may add the first
	doubtful bool // a request of the transaction may have more than one copy
	outcome  Outcome

	inFlight Kind
	attempts int
	retryAt  int64
}

// New makes a machine in Uninitialized.
func New(cfg Config) *Machine {
	return &Machine{
		cfg: cfg, identity: protocol.NoIdentity, version: V1, wanted: V1,
		coordinators: coordinators{coordinator: AnyBroker, groups: make(map[string]int32)},
		contents:     contents{partitions: make(map[protocol.TopicPartition]bool)},
	}
}

// Resume makes a machine that ends with commit a transaction that was decided before, in the
// version of EndTxn that was decided on: another version would be answered wrongly.
func Resume(cfg Config, id protocol.ProducerIdentity, endVersion int16) *Machine {
	m := New(cfg)
	m.identity, m.state, m.begun = id, Committing, true
	if endVersion >= endTxnV2 {
		m.version = V2
	}
	m.wanted = m.version
	return m
}

// State is the machine's state.
func (m *Machine) State() State { return m.state }

// Err says why the machine is in AbortableError or FatalError.
func (m *Machine) Err() (Cause, protocol.ErrorCode, string) { return m.cause, m.code, m.err }

// Identity is the producer id and epoch of this transaction, or of the next.
func (m *Machine) Identity() protocol.ProducerIdentity { return m.identity }

// Version is the transaction version of this transaction, or of the next.
func (m *Machine) Version() int16 { return m.version }

// EndVersion is the highest version of EndTxn for this transaction.
func (m *Machine) EndVersion() int16 {
	if m.version >= V2 {
		return endTxnV2
	}
	return endTxnV1
}

// ProduceMax is the highest version of Produce for this transaction, or -1: no bound.
func (m *Machine) ProduceMax() int16 {
	if m.version >= V2 {
		return -1
	}
	return produceV1
}

// Outcome is what became of the transaction that was ended last.
func (m *Machine) Outcome() Outcome { return m.outcome }

// Doubtful reports whether a request of this transaction may still be on its way to a broker
// after the transaction has ended: then the id is initialised before the next one, or the late
// copy could act inside it.
func (m *Machine) Doubtful() bool { return m.doubtful }

// Doubt says that a Produce request of this transaction was sent twice or never answered.
func (m *Machine) Doubt() {
	if m.state == InTransaction || m.state == AbortableError {
		m.doubtful = true
	}
}

// Finalized says which transaction.version the cluster has finalized. It takes effect between
// transactions; after a change of version the id is initialised first.
func (m *Machine) Finalized(version int16) {
	m.wanted = V1
	if version >= V2 {
		m.wanted = V2
	}
	if m.state == Uninitialized {
		m.version = m.wanted
	}
}

// SetTimeout asks for another transaction.timeout.ms, from the next transaction on: the id is initialised first.
func (m *Machine) SetTimeout(ms int32) {
	if m.cfg.TimeoutMs != ms {
		m.cfg.TimeoutMs, m.doubtful = ms, true
	}
}

// Init asks for the producer id.
func (m *Machine) Init() { m.enter(Initializing) }

// Begin begins a transaction. It reports false if the id has to be initialised first, which is
// then under way.
func (m *Machine) Begin() bool {
	if m.doubtful || m.version != m.wanted {
		m.version, m.doubtful = m.wanted, false
		m.enter(Initializing)
		return false
	}
	m.enter(InTransaction)
	clear(m.partitions)
	m.offsets, m.begun, m.outcome, m.refused, m.keyless = nil, false, NotEnded, nil, ""
	m.cause, m.code, m.err = NoCause, protocol.None, ""
	return true
}

// Add adds a partition to the transaction and reports whether it may be written to now. Under
// version 1 it may once AddPartitionsToTxn was answered; ask again then.
func (m *Machine) Add(tp protocol.TopicPartition) bool {
	if m.state != InTransaction {
		return false
	}
	if m.version >= V2 {
		m.partitions[tp], m.begun = true, true
		return true
	}
	added, ok := m.partitions[tp]
	if !ok {
		m.partitions[tp] = false
	}
	return added
}

// AddOffsets has the transaction commit offsets of a group.
func (m *Machine) AddOffsets(g GroupOffsets) {
	if m.state == InTransaction && len(g.Offsets) > 0 {
		m.offsets = append(m.offsets, &g)
	}
}

// Settled reports whether everything that was added is known to the coordinators.
func (m *Machine) Settled() bool {
	if len(m.offsets) > 0 || m.inFlight != 0 {
		return false
	}
	for _, added := range m.partitions {
		if !added {
			return false
		}
	}
	return true
}

// Commit ends the transaction with commit. All that it carries must have been acknowledged, and
// the decision must be durable. With nothing in it the transaction is over at once.
func (m *Machine) Commit() {
	if !m.Settled() {
		panic(fmt.Sprintf("txn: %s: commit, with %d groups and %s outstanding", m.cfg.ID, len(m.offsets), m.inFlight))
	}
	m.enter(Committing)
	m.endEmpty(Committed)
}

// Abort ends the transaction with abort.
func (m *Machine) Abort() {
	m.enter(Aborting)
	m.offsets = nil
	for tp, added := range m.partitions {
		if !added && !slices.Contains(m.adding, tp) {
			delete(m.partitions, tp)
		}
	}
	if m.inFlight == 0 {
		m.endEmpty(Aborted)
	}
}

// endEmpty ends a transaction that the coordinator has nothing of.
func (m *Machine) endEmpty(o Outcome) {
	if !m.begun {
		m.outcome, m.retryAt = o, 0
		m.enter(Ready)
	}
}

// Fail says that the transaction can only be aborted: a record of it was refused, or a batch
// cannot be sent again.
func (m *Machine) Fail(code protocol.ErrorCode, detail string) {
	if m.state == InTransaction {
		m.code, m.err = code, detail
		m.enter(AbortableError)
	}
}

// Fence says that a Produce request was refused for its epoch.
func (m *Machine) Fence(code protocol.ErrorCode, detail string) { m.fatal(Fenced, code, detail) }

func (m *Machine) fatal(c Cause, code protocol.ErrorCode, detail string) {
	if m.state == FatalError {
		return
	}
	m.cause, m.code, m.err = c, code, detail
	m.enter(FatalError)
}

// Next is the request to send now; nil with at > 0: not before that age, nil with 0: none.
func (m *Machine) Next(now int64) (r *Request, at int64) {
	if m.inFlight != 0 {
		return nil, 0
	}
	k := m.next()
	if k == 0 {
		return nil, 0
	}
	if now < m.retryAt {
		return nil, m.retryAt
	}
	r = m.request(k)
	m.inFlight = r.Kind
	return r, 0
}

// next is the first of what is wanted, in the order of Kind.
func (m *Machine) next() Kind {
	switch m.state {
	case Initializing:
		return InitProducerID
	case InTransaction:
		for _, added := range m.partitions {
			if !added {
				return AddPartitions
			}
		}
		switch {
		case len(m.offsets) == 0:
		case !m.offsets[0].announce && (m.version >= V2 || m.offsets[0].added):
			return CommitOffsets
		default:
			return AddOffsets
		}
	case Committing, Aborting:
		return EndTxn
	}
	return 0
}

// Forget says that a Produce request was refused because the coordinator has no such producer id.
func (m *Machine) Forget(code protocol.ErrorCode, detail string) { m.fatal(Forgotten, code, detail) }

// Deny says that a Produce request was refused because a right on the transactional id is missing.
func (m *Machine) Deny(code protocol.ErrorCode, detail string) {
	m.fatal(Denied, code, detail+": "+m.advice(0, code))
}
