package txn

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
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
		r.Message, r.MaxVersion = m.addPartitions(), addPartitionsMax
	case AddOffsets:
		q := kmsg.NewPtrAddOffsetsToTxnRequest()
		q.TransactionalID, q.Group = m.cfg.ID, m.offsets[0].ID
		q.ProducerID, q.ProducerEpoch = int64(m.identity.ID), int16(m.identity.Epoch)
		r.Message, m.maybe = q, true
	case CommitOffsets:
		r.Message, r.MinVersion, r.MaxVersion = m.commitOffsets(), 3, offsetCommitV1
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

func (m *Machine) addPartitions() kmsg.Request {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID = m.cfg.ID
	q.ProducerID, q.ProducerEpoch = int64(m.identity.ID), int16(m.identity.Epoch)
	m.adding = m.adding[:0]
	for tp, added := range m.partitions {
		if !added {
			m.adding = append(m.adding, tp)
		}
	}
	slices.SortFunc(m.adding, func(a, b protocol.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, tp := range m.adding {
		if n := len(q.Topics); n == 0 || q.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewAddPartitionsToTxnRequestTopic()
			t.Topic = tp.Topic
			q.Topics = append(q.Topics, t)
		}
		t := &q.Topics[len(q.Topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
	}
	m.maybe = true
	return q
}

func (m *Machine) commitOffsets() kmsg.Request {
	g := m.offsets[0]
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group = m.cfg.ID, g.ID
	q.ProducerID, q.ProducerEpoch = int64(m.identity.ID), int16(m.identity.Epoch)
	q.Generation, q.MemberID = g.Generation, g.Member
	if g.Instance != "" {
		q.InstanceID = &g.Instance
	}
	slices.SortStableFunc(g.Offsets, func(a, b Offset) int { return cmp.Compare(a.Topic, b.Topic) })
	for i := range g.Offsets {
		o := &g.Offsets[i]
		if n := len(q.Topics); n == 0 || q.Topics[n-1].Topic != o.Topic {
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = o.Topic
			q.Topics = append(q.Topics, t)
		}
		t := &q.Topics[len(q.Topics)-1]
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = o.Partition, o.Offset, o.LeaderEpoch
		p.Metadata = &o.Metadata
		t.Partitions = append(t.Partitions, p)
	}
	return q
}
