package txn

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// firstPartitionBackoff is the pause after CONCURRENT_TRANSACTIONS while the transaction has no
// partition yet: it is the tail of the transaction before, which ends within milliseconds.
const firstPartitionBackoff = 20

// Reply is what came back for the request in flight.
type Reply struct {
	Message kmsg.Response // nil: no answer came
	Written bool          // without an answer: the broker may have got the request
	Lost    string        // why no answer came
	// Unsupported: the broker does not support the request in the version that is needed.
	Unsupported bool
}

// Answer takes the reply to the request in flight.
func (m *Machine) Answer(now int64, r Reply) {
	k := m.inFlight
	m.inFlight = 0
	if k == 0 || m.state == FatalError {
		return
	}
	switch {
	case r.Unsupported:
		m.fatal(Unsupported, protocol.UnsupportedVersion, k.String()+": "+r.Lost)
	case r.Message == nil:
		m.lost(now, k, r)
	default:
		m.answered(now, k, r.Message)
	}
	m.maybe = false
	if m.state == Aborting && m.inFlight == 0 {
		m.endEmpty(Aborted)
	}
}

// lost: the connection ended, or the time-out came first. The coordinator may have moved.
func (m *Machine) lost(now int64, k Kind, r Reply) {
	m.err = k.String() + ": " + r.Lost
	if r.Written && k != FindCoordinator && k != InitProducerID {
		m.doubtful = true
		m.begun = m.begun || m.maybe
	}
	m.forget(k)
	m.pause(now, m.cfg.RetryBackoffMs)
}

// forget has the coordinator of a request looked up again.
func (m *Machine) forget(k Kind) {
	switch {
	case k == CommitOffsets && len(m.offsets) > 0:
		delete(m.groups, m.offsets[0].ID)
	case k == CommitOffsets:
		clear(m.groups)
	case k != FindCoordinator:
		m.coordinator = AnyBroker
	}
}

// steadyTries is after how many tries in vain the pause between them begins to grow: what takes longer than a broker's restart
// may take all night.
const steadyTries = 10

func (m *Machine) pause(now, ms int64) {
	m.attempts++
	ms = max(ms, 1)
	for n := steadyTries; n < m.attempts && ms < m.cfg.RetryBackoffMaxMs; n++ {
		ms = min(2*ms, m.cfg.RetryBackoffMaxMs)
	}
	m.retryAt = now + ms
}

func (m *Machine) answered(now int64, k Kind, resp kmsg.Response) {
	var code protocol.ErrorCode
	detail, some := "", false
	switch r := resp.(type) {
	case *kmsg.FindCoordinatorResponse:
		code, detail = m.found(r)
	case *kmsg.InitProducerIDResponse:
		code = protocol.ErrorCode(r.ErrorCode)
		if code == protocol.None {
			m.initialized(r)
		}
	case *kmsg.AddPartitionsToTxnResponse:
		code, detail, some = m.partitionsAdded(r)
	case *kmsg.AddOffsetsToTxnResponse:
		code = protocol.ErrorCode(r.ErrorCode)
		if code == protocol.None && len(m.offsets) > 0 {
			if m.offsets[0].added = true; m.offsets[0].announce {
				m.offsets = m.offsets[1:]
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		code, detail = m.offsetsCommitted(r)
	case *kmsg.EndTxnResponse:
		code = protocol.ErrorCode(r.ErrorCode)
		if code == protocol.None {
			m.ended(r)
		}
	default:
		m.fatal(Unexpected, protocol.UnknownServerError, fmt.Sprintf("%s was answered with %T", k, resp))
		return
	}
	// Under version 2 the broker adds the partition that a group's offsets are kept in, and asks the group whether they may be
	// committed only then.
	m.begun = m.begun || some || m.maybe && k == CommitOffsets
	if detail == "" {
		detail = code.String()
	}
	m.act(now, k, code, k.String()+": "+detail)
}

// act does what the table says.
func (m *Machine) act(now int64, k Kind, code protocol.ErrorCode, detail string) {
	a := actOn(k, code)
	if a == proceed {
		m.begun = m.begun || m.maybe
		if m.retryAt = 0; k != FindCoordinator { // whose answer says nothing of what it was asked for
			m.attempts = 0
		}
		return
	}
	m.err, m.code = detail, code
	switch a {
	case again, doubt:
		if a == doubt {
			m.doubtful = true
			m.begun = m.begun || m.maybe
		}
		ms := m.cfg.RetryBackoffMs
		if code == protocol.ConcurrentTransactions {
			ms = min(ms, firstPartitionBackoff)
		}
		m.pause(now, ms)
	case lookUp:
		m.forget(k)
		m.pause(now, m.cfg.RetryBackoffMs)
	case abortable:
		if m.state == InTransaction {
			m.enter(AbortableError)
		} else {
			m.pause(now, m.cfg.RetryBackoffMs)
		}
	case wasAborted:
		m.outcome = Aborted
		m.doubtful = true // the epoch at hand may be the former one
		m.endedAs(Aborted)
	case tellsNothing:
		if m.state == Committing {
			m.outcome = Open
		}
		switch code {
		case protocol.ProducerFenced, protocol.InvalidProducerEpoch:
			m.fatal(Fenced, code, detail)
		case protocol.InvalidProducerIDMapping, protocol.UnknownProducerID:
			m.fatal(Forgotten, code, detail)
		default:
			m.fatal(Unexpected, code, detail)
		}
	case fenced:
		m.fatal(Fenced, code, detail)
	case forgotten:
		m.fatal(Forgotten, code, detail)
	case denied:
		m.fatal(Denied, code, detail+": "+m.advice(k, code))
	case badTimeout:
		m.fatal(BadTimeout, code, fmt.Sprintf("%s: transaction.timeout.ms = %d is above the brokers' transaction.max.timeout.ms: lower it", detail, m.cfg.TimeoutMs))
	default:
		m.fatal(Unexpected, code, detail)
	}
}

// advice names the right that is missing.
func (m *Machine) advice(k Kind, code protocol.ErrorCode) string {
	switch code {
	case protocol.GroupAuthorizationFailed:
		group := m.finding
		if k != FindCoordinator && len(m.offsets) > 0 {
			group = m.offsets[0].ID
		}
		return fmt.Sprintf("grant READ on group %s", group)
	case protocol.ClusterAuthorizationFailed:
		return "grant IDEMPOTENT_WRITE on the cluster"
	}
	return fmt.Sprintf("grant WRITE and DESCRIBE on transactional id %s", m.cfg.ID)
}

func (m *Machine) initialized(r *kmsg.InitProducerIDResponse) {
	id := protocol.ProducerIdentity{ID: protocol.ProducerID(r.ProducerID), Epoch: protocol.ProducerEpoch(r.ProducerEpoch)}
	if !id.Valid() {
		m.fatal(Unexpected, protocol.None, fmt.Sprintf("InitProducerId gave producer id %v", id))
		return
	}
	m.identity, m.doubtful = id, false
	m.version = m.wanted
	m.enter(Ready)
}

// ended takes EndTxn's NONE: under version 2 it brings the next transaction's identity.
func (m *Machine) ended(r *kmsg.EndTxnResponse) {
	if m.version >= V2 {
		id := protocol.ProducerIdentity{ID: protocol.ProducerID(r.ProducerID), Epoch: protocol.ProducerEpoch(r.ProducerEpoch)}
		if id.Valid() {
			m.identity = id
		} else {
			m.doubtful = true
		}
	}
	if m.state == Committing {
		m.endedAs(Committed)
	} else {
		m.endedAs(Aborted)
	}
}

func (m *Machine) endedAs(o Outcome) {
	m.outcome = o
	m.attempts, m.retryAt = 0, 0
	m.enter(Ready)
}
