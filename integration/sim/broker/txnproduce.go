package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
)

// Versions of Produce in which a partition that is not in the transaction has another answer, or is added.
const (
	saysAbortable = 11
	addsPartition = 12 // KIP-890
)

// partsOf is who produces in a transaction, and to which partitions.
func (n transactional) partsOf(m *kmsg.ProduceRequest) (w who, parts []txnPart) {
	w = who{id: *m.TransactionID, v2: m.GetVersion() >= addsPartition, first: map[txnPart]int32{}}
	for i := range m.Topics {
		name := m.Topics[i].Topic
		if m.GetVersion() >= byID {
			if v := n.ids[m.Topics[i].TopicID]; v != nil {
				name = v.topic.name
			}
		}
		for j := range m.Topics[i].Partitions {
			b, _, code := nextBatch(m.Topics[i].Partitions[j].Records)
			if code != protocol.None || len(b) < raw.HeaderSize || !b.Is(raw.Transactional) {
				continue
			}
			w.pid, w.epoch = b.PID(), b.PEpoch()
			p := txnPart{name, m.Topics[i].Partitions[j].Partition}
			w.first[p] = b.Sequence()
			parts = append(parts, p)
		}
	}
	return w, parts
}

// of is what a Produce request is answered for a partition whose batch may not be appended (AddPartitionsToTxnManager,
// ReplicaManager.handleProduceAppend).
func (v *verification) of(topic string, number int32, version int16) protocol.ErrorCode {
	if v == nil {
		return protocol.None
	}
	switch code := v.code[txnPart{topic, number}]; code {
	case protocol.ProducerFenced:
		return protocol.InvalidProducerEpoch
	case protocol.ConcurrentTransactions:
		if v.adds {
			return code
		}
		return protocol.NotEnoughReplicas
	case protocol.NetworkException, protocol.NotCoordinator, protocol.CoordinatorLoadInProgress, protocol.CoordinatorNotAvailable:
		return protocol.NotEnoughReplicas
	case protocol.TransactionAbortable:
		if version < saysAbortable {
			return protocol.InvalidTxnState
		}
		return code
	default:
		return code
	}
}
