package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// fromFollowers is the first version of Fetch in which a client may read from a follower (KIP-392): with it any
// replica answers, as far as its own high watermark goes.
const fromFollowers = 11

// byName is the last version of Fetch in which topics go by their names.
const byName = 12

func (n *node) fetch(m *kmsg.FetchRequest) kmsg.Response {
	if m.GetVersion() > byName {
		panic("broker: the model does not know Fetch by topic id")
	}
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	left := int(m.MaxBytes)
	for i := range m.Topics {
		rt := &m.Topics[i]
		out := kmsg.NewFetchResponseTopic()
		out.Topic, out.TopicID = rt.Topic, rt.TopicID
		for j := range rt.Partitions {
			out.Partitions = append(out.Partitions, n.fetchPart(m, rt.Topic, &rt.Partitions[j], &left))
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (n *node) fetchPart(m *kmsg.FetchRequest, name string, rp *kmsg.FetchRequestTopicPartition, left *int) kmsg.FetchResponseTopicPartition {
	out := kmsg.NewFetchResponseTopicPartition()
	out.Partition, out.HighWatermark, out.LastStableOffset, out.LogStartOffset = rp.Partition, -1, -1, -1
	out.PreferredReadReplica = -1
	epoch := rp.CurrentLeaderEpoch
	if m.GetVersion() < 9 { // KIP-320
		epoch = -1
	}
	r, code := n.readable(name, rp.Partition, epoch, m.GetVersion() < fromFollowers)
	if code != protocol.None {
		out.ErrorCode = int16(code)
		return out
	}
	if rp.FetchOffset < r.start || rp.FetchOffset > r.end() {
		out.ErrorCode = int16(protocol.OffsetOutOfRange)
		return out
	}
	out.HighWatermark, out.LastStableOffset, out.LogStartOffset = r.hw, transactions{r}.stable(), r.start
	upTo := r.hw
	if m.IsolationLevel == readCommitted {
		upTo = out.LastStableOffset
	}
	// At least one batch is given (KIP-74), in all of the answer; of the last one as much as there is room for.
	room := min(int(rp.PartitionMaxBytes), *left)
	k, _ := slices.BinarySearchFunc(r.log, rp.FetchOffset, func(e entry, o int64) int {
		if e.end() <= o {
			return -1
		}
		return 1
	})
	for first := k; k < len(r.log) && r.log[k].end() <= upTo; k++ {
		b := r.log[k].raw
		if size := len(out.RecordBatches); size+len(b) > room && (k > first || *left < int(m.MaxBytes)) {
			if k > first {
				out.RecordBatches = append(out.RecordBatches, b[:max(room-size, 0)]...)
			}
			break
		}
		out.RecordBatches = append(out.RecordBatches, b...)
	}
	*left -= len(out.RecordBatches)
	if m.IsolationLevel == readCommitted {
		out.AbortedTransactions = transactions{r}.aborted(rp.FetchOffset, upTo)
	}
	return out
}

// readable is the replica that a client may read (Partition.localLogWithEpochOrThrow).
func (n *node) readable(name string, number, epoch int32, leaderOnly bool) (*replica, protocol.ErrorCode) {
	v := n.views[name]
	if !n.c.may(Read, name) {
		return nil, protocol.TopicAuthorizationFailed
	}
	if v == nil {
		return nil, protocol.UnknownTopicOrPartition
	}
	return n.local(v, number, epoch, leaderOnly)
}

// local is a replica on this broker, if the client's leader epoch fits.
func (n *node) local(v *topicView, number, epoch int32, leaderOnly bool) (*replica, protocol.ErrorCode) {
	if _, ok := v.parts[number]; !ok {
		return nil, protocol.UnknownTopicOrPartition
	}
	r := n.replicas[replicaKey{v.topic.id, number}]
	switch {
	case r == nil:
		return nil, protocol.NotLeaderOrFollower
	case epoch >= 0 && epoch < r.epoch:
		return nil, protocol.FencedLeaderEpoch
	case epoch >= 0 && epoch > r.epoch:
		return nil, protocol.UnknownLeaderEpoch
	case leaderOnly && !r.leads():
		return nil, protocol.NotLeaderOrFollower
	}
	return r, protocol.None
}
