package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// Special timestamps of ListOffsets.
const (
	latest   = -1
	earliest = -2
)

func (n *node) listOffsets(m *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.SetVersion(m.GetVersion())
	for i := range m.Topics {
		rt := &m.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = rt.Topic
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.Offset, p.Timestamp = rp.Partition, -1, -1
			offset, code := n.offset(rt.Topic, rp)
			p.Offset, p.ErrorCode = offset, int16(code)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// offset is Partition.fetchOffsetForTimestamp for a client: the latest is the high watermark, and not known while
// it lags behind the beginning of the leader's reign (KIP-207).
func (n *node) offset(name string, rp *kmsg.ListOffsetsRequestTopicPartition) (int64, protocol.ErrorCode) {
	v := n.views[name]
	if !n.c.may(Describe, name) {
		return -1, protocol.TopicAuthorizationFailed
	}
	if v == nil {
		return -1, protocol.UnknownTopicOrPartition
	}
	r, code := n.local(v, rp.Partition, rp.CurrentLeaderEpoch, true)
	switch {
	case code != protocol.None:
		return -1, code
	case rp.Timestamp == earliest:
		return r.start, protocol.None
	case rp.Timestamp != latest:
		return -1, protocol.UnsupportedVersion // nobody here asks by time
	case r.epochStart > r.hw:
		return -1, protocol.OffsetNotAvailable
	}
	return r.hw, protocol.None
}
