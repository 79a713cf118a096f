package raw

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Part is what a Produce request has for one partition.
type Part struct {
	Topic     string
	ID        [16]byte // of the topic, for versions that go by it
	Partition int32
	Records   []byte
}

// Produce is a Produce request, with the parts in their order; those of one topic are put where its first one is.
func Produce(version, acks int16, timeout int32, parts ...Part) *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(version)
	m.Acks, m.TimeoutMillis = acks, timeout
	for _, p := range parts {
		i := slices.IndexFunc(m.Topics, func(t kmsg.ProduceRequestTopic) bool { return t.Topic == p.Topic && t.TopicID == p.ID })
		if i < 0 {
			i = len(m.Topics)
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = p.Topic, p.ID
			m.Topics = append(m.Topics, t)
		}
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p.Partition, p.Records
		m.Topics[i].Partitions = append(m.Topics[i].Partitions, rp)
	}
	return m
}

// DescribeProducers asks what a broker knows of producers on some partitions of a topic.
func DescribeProducers(topic string, partitions ...int32) *kmsg.DescribeProducersRequest {
	m := kmsg.NewPtrDescribeProducersRequest()
	t := kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	m.Topics = append(m.Topics, t)
	return m
}

// Timestamps that ListOffsets takes for an end of the log.
const (
	Latest   = -1
	Earliest = -2
)

// ListOffsets asks for one end of some partitions of a topic.
func ListOffsets(version int16, topic string, timestamp int64, partitions ...int32) *kmsg.ListOffsetsRequest {
	m := kmsg.NewPtrListOffsetsRequest()
	m.SetVersion(version)
	m.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp = p, -1, timestamp
		t.Partitions = append(t.Partitions, rp)
	}
	m.Topics = append(m.Topics, t)
	return m
}

// Fetch reads a partition from an offset, as a consumer that does not wait. epoch is the leader epoch that it believes in; -1: none.
func Fetch(version int16, topic string, partition int32, offset int64, epoch, most int32) *kmsg.FetchRequest {
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(version)
	m.ReplicaID, m.MaxBytes, m.SessionEpoch = -1, most, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch, rp.LogStartOffset = partition, offset, most, epoch, -1
	t.Partitions = append(t.Partitions, rp)
	m.Topics = append(m.Topics, t)
	return m
}

// DeleteRecords deletes below an offset; -1: below the high watermark.
func DeleteRecords(topic string, partition int32, offset int64, timeout int32) *kmsg.DeleteRecordsRequest {
	m := kmsg.NewPtrDeleteRecordsRequest()
	m.SetVersion(2)
	m.TimeoutMillis = timeout
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, offset
	t.Partitions = append(t.Partitions, rp)
	m.Topics = append(m.Topics, t)
	return m
}

// InitProducerID asks for a producer id, without a transactional one.
func InitProducerID(version int16, pid int64, epoch int16) *kmsg.InitProducerIDRequest {
	m := kmsg.NewPtrInitProducerIDRequest()
	m.SetVersion(version)
	m.ProducerID, m.ProducerEpoch = pid, epoch
	return m
}

// Metadata asks about a topic by its name.
func Metadata(version int16, topic string) *kmsg.MetadataRequest {
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(version)
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	m.Topics = append(m.Topics, t)
	return m
}
