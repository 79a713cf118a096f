package sender_test

import "github.com/twmb/franz-go/pkg/kmsg"

// describeAnswer answers DescribeProducers; part fills in what is said of a partition.
func describeAnswer(m *kmsg.DescribeProducersRequest, part func(string, *kmsg.DescribeProducersResponseTopicPartition)) kmsg.Response {
	r := kmsg.NewPtrDescribeProducersResponse()
	for _, t := range m.Topics {
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		for _, n := range t.Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = n
			part(t.Topic, &p)
			rt.Partitions = append(rt.Partitions, p)
		}
		r.Topics = append(r.Topics, rt)
	}
	return r
}

// offsetsAnswer answers ListOffsets; part fills in what is said of a partition and a timestamp.
func offsetsAnswer(m *kmsg.ListOffsetsRequest, part func(string, int64, *kmsg.ListOffsetsResponseTopicPartition)) kmsg.Response {
	r := kmsg.NewPtrListOffsetsResponse()
	for _, t := range m.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, q := range t.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = q.Partition
			part(t.Topic, q.Timestamp, &p)
			rt.Partitions = append(rt.Partitions, p)
		}
		r.Topics = append(r.Topics, rt)
	}
	return r
}
