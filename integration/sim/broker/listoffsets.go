package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
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
			p.Partition, p.Offset, p.Timestamp, p.LeaderEpoch = rp.Partition, -1, -1, -1
			epoch := rp.CurrentLeaderEpoch
			if m.GetVersion() < 4 { // KIP-320
				epoch = -1
			}
			p.ErrorCode = int16(n.offset(m, rt.Topic, rp, epoch, &p))
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// debugger is the replica id of whoever may ask any replica, and is given where its log ends (ListOffsetsRequest.DEBUGGING_REPLICA_ID).
const debugger = -2

// offset is Partition.fetchOffsetForTimestamp for a client: the latest is the high watermark, and not known while it
// lags behind the beginning of the leader's reign (KIP-207). A reader of what is committed is given the last stable offset, a
// debugger the end of the log.
func (n *node) offset(m *kmsg.ListOffsetsRequest, name string, rp *kmsg.ListOffsetsRequestTopicPartition, epoch int32, out *kmsg.ListOffsetsResponseTopicPartition) protocol.ErrorCode {
	if !n.c.may(Describe, name) {
		return protocol.TopicAuthorizationFailed
	}
	v := n.views[name]
	if v == nil {
		return protocol.UnknownTopicOrPartition
	}
	r, code := n.local(v, rp.Partition, epoch, m.ReplicaID != debugger)
	switch {
	case code != protocol.None:
		return code
	case rp.Timestamp == raw.Earliest:
		out.Offset, out.LeaderEpoch = r.start, r.epoch
		if len(r.log) > 0 {
			out.LeaderEpoch = r.log[0].epoch
		}
	case rp.Timestamp != raw.Latest:
		return protocol.UnsupportedVersion // nobody here asks by time
	case m.ReplicaID == debugger:
		out.Offset, out.LeaderEpoch = r.end(), r.epoch
	case r.epochStart > r.hw:
		return protocol.OffsetNotAvailable
	case m.IsolationLevel == readCommitted && m.GetVersion() >= 2: // KIP-98
		out.Offset, out.LeaderEpoch = transactions{r}.stable(), r.epoch
	default:
		out.Offset, out.LeaderEpoch = r.hw, r.epoch
	}
	return protocol.None
}
