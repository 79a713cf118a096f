package broker

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// describeProducers is answered by any replica, leader or not (ReplicaManager.activeProducerState).
func (n *node) describeProducers(m *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeProducersResponse()
	resp.SetVersion(m.GetVersion())
	for i := range m.Topics {
		rt := &m.Topics[i]
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = rt.Topic
		for _, number := range rt.Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = number
			r, code := n.readable(rt.Topic, number, -1, false)
			if p.ErrorCode = int16(code); code == protocol.None {
				p.ActiveProducers = r.activeProducers()
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (r *replica) activeProducers() []kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	var out []kmsg.DescribeProducersResponseTopicPartitionActiveProducer
	for pid, p := range r.producers {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch = pid, int32(p.epoch)
		a.LastSequence, a.LastTimestamp = p.lastSequence(), p.lastTS
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = p.reign-1, p.open-1
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b kmsg.DescribeProducersResponseTopicPartitionActiveProducer) int {
		return cmp.Compare(a.ProducerID, b.ProducerID)
	})
	return out
}

// describeConfigs has one setting of a broker.
func (n *node) describeConfigs(m *kmsg.DescribeConfigsRequest) kmsg.Response {
	const expiration = "producer.id.expiration.ms"
	resp := kmsg.NewPtrDescribeConfigsResponse()
	resp.SetVersion(m.GetVersion())
	for i := range m.Resources {
		q := &m.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = q.ResourceType, q.ResourceName
		switch {
		case !n.c.may(Configs, ""):
			out.ErrorCode = int16(protocol.ClusterAuthorizationFailed)
		case slices.Contains(q.ConfigNames, expiration) || q.ConfigNames == nil:
			cfg := kmsg.NewDescribeConfigsResponseResourceConfig()
			cfg.Name, cfg.Value = expiration, kmsg.StringPtr(strconv.FormatInt(n.c.cfg.Expiration, 10))
			out.Configs = append(out.Configs, cfg)
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}
