package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// toHighWatermark as an offset of DeleteRecords.
const toHighWatermark = -1

// deleteRecords raises log starts, at most to the high watermark. Followers take the new start with their next fetch;
// unlike a broker, this one does not wait for them.
func (n *node) deleteRecords(m *kmsg.DeleteRecordsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	resp.SetVersion(m.GetVersion())
	for i := range m.Topics {
		rt := &m.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = rt.Topic
		for j := range rt.Partitions {
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			p.Partition, p.LowWatermark = rt.Partitions[j].Partition, -1
			low, code := n.deletePart(rt.Topic, rt.Partitions[j].Partition, rt.Partitions[j].Offset)
			p.LowWatermark, p.ErrorCode = low, int16(code)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (n *node) deletePart(name string, number int32, offset int64) (int64, protocol.ErrorCode) {
	v := n.views[name]
	if v == nil {
		return -1, protocol.UnknownTopicOrPartition
	}
	r, code := n.leading(v, number)
	switch {
	case code != protocol.None:
		return -1, code
	case v.config.Compact:
		return -1, protocol.PolicyViolation
	case offset == toHighWatermark:
		offset = r.hw
	case offset < 0 || offset > r.hw:
		return -1, protocol.OffsetOutOfRange
	}
	r.raiseStart(offset)
	r.pokeFollowers()
	return r.start, protocol.None
}

// Retain is retention: a leader drops all but the last keep offsets below its high watermark. Unlike what DeleteRecords hides, that is gone
// from the files, too. Followers do the same with their next fetch.
func (c *Cluster) Retain(name string, number int32, keep int64) {
	for _, n := range c.nodes {
		v := n.views[name]
		if v == nil || !n.running() {
			continue
		}
		if r, code := n.leading(v, number); code == protocol.None && r.hw-keep > r.start {
			r.raiseStart(r.hw - keep)
			r.retain(r.start)
			r.pokeFollowers()
		}
	}
}
