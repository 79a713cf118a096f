package txn

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// request makes the request of a kind, or the look-up of the coordinator that it needs.
func (m *Machine) request(k Kind) *Request {
	to := m.coordinator
	if k == CommitOffsets {
		broker, ok := m.groups[m.offsets[0].ID]
		if to = broker; !ok {
			return m.find(m.offsets[0].ID)
		}
	} else if to == AnyBroker {
		return m.find("")
	}
	r := &Request{Kind: k, Broker: to, MinVersion: 0, MaxVersion: -1}
	switch k {
	case InitProducerID:
		q := kmsg.NewPtrInitProducerIDRequest()
		q.TransactionalID, q.TransactionTimeoutMillis = &m.cfg.ID, m.cfg.TimeoutMs
		q.ProducerID, q.ProducerEpoch = -1, -1 // the plain form: it works in every state, and ends what a former process left
		r.Message, r.MaxVersion = q, initProducerIDMax
	case AddPartitions:
		r.Message, r.MaxVersion = m.addPartitions(m.cfg.ID, m.identity), addPartitionsMax
		m.maybe = true
	case AddOffsets:
		q := kmsg.NewPtrAddOffsetsToTxnRequest()
		q.TransactionalID, q.Group = m.cfg.ID, m.offsets[0].ID
		q.ProducerID, q.ProducerEpoch = int64(m.identity.ID), int16(m.identity.Epoch)
		r.Message, m.maybe = q, true
	case CommitOffsets:
		r.Message, r.MinVersion, r.MaxVersion = m.commitOffsets(m.cfg.ID, m.identity), 3, offsetCommitV1
		if m.version >= V2 {
			r.MinVersion, r.MaxVersion = offsetCommitV2, offsetCommitV2
			m.maybe = true
		}
	case EndTxn:
		q := kmsg.NewPtrEndTxnRequest()
		q.TransactionalID, q.Commit = m.cfg.ID, m.state == Committing
		q.ProducerID, q.ProducerEpoch = int64(m.identity.ID), int16(m.identity.Epoch)
		r.Message, r.MaxVersion = q, m.EndVersion()
		if m.version >= V2 {
			r.MinVersion = endTxnV2
		}
	}
	return r
}

func (m *Machine) find(group string) *Request {
	m.finding = group
	q := kmsg.NewPtrFindCoordinatorRequest()
	key := m.cfg.ID
	q.CoordinatorType = 1
	if group != "" {
		key, q.CoordinatorType = group, 0
	}
	q.CoordinatorKey, q.CoordinatorKeys = key, []string{key}
	return &Request{Kind: FindCoordinator, Broker: AnyBroker, Message: q, MinVersion: 1, MaxVersion: 4}
}
