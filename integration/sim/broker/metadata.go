package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// metadata answers from what this broker has: it may be old.
func (n *node) metadata(m *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	resp.ClusterID = kmsg.StringPtr(n.c.cfg.ID)
	for _, id := range n.brokers {
		out := kmsg.NewMetadataResponseBroker()
		out.NodeID, out.Host, out.Port = id, "broker", 9092+id
		resp.Brokers = append(resp.Brokers, out)
	}
	for i := range m.Topics {
		if m.Topics[i].Topic != nil {
			resp.Topics = append(resp.Topics, n.metadataTopic(m.GetVersion(), *m.Topics[i].Topic))
		}
	}
	return resp
}

func (n *node) metadataTopic(version int16, name string) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic = kmsg.StringPtr(name)
	v := n.views[name]
	switch {
	case !n.c.may(Describe, name):
		out.ErrorCode = int16(protocol.TopicAuthorizationFailed)
		return out
	case v == nil:
		out.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		return out
	case n.c.chance(n.c.Weather.Unavailable):
		out.ErrorCode = int16(protocol.LeaderNotAvailable)
		return out
	}
	if version >= 10 { // KIP-516
		out.TopicID = v.topic.id
	}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(v.parts))
	for number := range int32(len(v.parts)) {
		s, ok := v.parts[number]
		if !ok {
			break // the broker has a later one only
		}
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = number, s.leader, -1
		if version >= 7 { // KIP-320
			p.LeaderEpoch = s.epoch
		}
		p.Replicas, p.ISR = slices.Clone(s.replicas), slices.Clone(s.isr)
		if s.leader < 0 {
			p.ErrorCode = int16(protocol.LeaderNotAvailable)
		}
		out.Partitions = append(out.Partitions, p)
	}
	return out
}
