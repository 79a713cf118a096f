package transaction

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// producers says which transactions are open in partitions: that one, where markers were lost, and none else.
func (w *world) producers(q *kmsg.DescribeProducersRequest) *kmsg.DescribeProducersResponse {
	out := kmsg.NewPtrDescribeProducersResponse()
	for _, t := range q.Topics {
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		for _, n := range t.Partitions {
			rp := kmsg.NewDescribeProducersResponseTopicPartition()
			rp.Partition = n
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}
