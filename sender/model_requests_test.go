package sender_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// serve answers one request as the broker would. late: the answer of a Produce that
// waits for replicas which do not come.
func (c *modelCluster) serve(broker int32, r sender.Request) (kmsg.Response, error) {
	switch m := r.Message.(type) {
	case *kmsg.MetadataRequest:
		return c.metadata(m, broker), nil
	case *kmsg.InitProducerIDRequest:
		c.nextPID++
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ProducerID, resp.ProducerEpoch = c.nextPID, 0
		return resp, nil
	case *kmsg.DescribeProducersRequest:
		return c.describe(m, broker), nil
	case *kmsg.ListOffsetsRequest:
		return c.listOffsets(m, broker), nil
	case *kmsg.FetchRequest:
		return c.fetch(m, broker), nil
	case *kmsg.DescribeConfigsRequest:
		return c.configs(m), nil
	}
	if r.Kind == sender.KindProduce {
		return c.produce(broker, r), nil
	}
	return nil, fmt.Errorf("model: %T is not known", r.Message)
}

func (c *modelCluster) produce(broker int32, r sender.Request) kmsg.Response {
	resp := kmsg.NewPtrProduceResponse()
	for _, b := range r.Batches {
		t := c.topics[b.Topic]
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = b.Topic
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.Partition, rp.BaseOffset, rp.LogAppendTime = b.Partition, -1, -1
		rp.CurrentLeader.LeaderID = -1
		switch {
		case t == nil || t.id != b.TopicID && !c.byName:
			rp.ErrorCode = int16(protocol.UnknownTopicID)
		case t.parts[b.Partition].leader != broker || c.deposed:
			rp.ErrorCode = int16(protocol.NotLeaderOrFollower)
			if p := t.parts[b.Partition]; c.hints {
				rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = p.leader, p.epoch
				e := kmsg.NewProduceResponseBroker()
				e.NodeID = p.leader
				resp.Brokers = append(resp.Brokers, e)
			}
		default:
			p := t.parts[b.Partition]
			mb := modelBatch{id: b.Identity, base: b.Base, count: b.Count, maxTS: b.MaxTimestamp}
			rest := b.Records()
			for len(rest) > 0 {
				rec, next, err := protocol.NextRecord(rest)
				if err != nil {
					panic(err)
				}
				mb.values, rest = append(mb.values, bytes.Clone(rec.Value)), next
			}
			off, code := c.append(t, p, mb)
			if code == protocol.None && off+int64(b.Count) > p.hw {
				code, off = protocol.RequestTimedOut, -1 // appended, not replicated
			}
			rp.BaseOffset, rp.ErrorCode = off, int16(code)
			if code == protocol.InvalidRecord && t.names {
				for i, v := range mb.values {
					if t.refuse(v) != protocol.None {
						e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
						e.RelativeOffset = int32(i)
						rp.ErrorRecords = append(rp.ErrorRecords, e)
					}
				}
			}
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (c *modelCluster) metadata(m *kmsg.MetadataRequest, broker int32) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID = kmsg.StringPtr(c.id)
	for i := range c.brokers {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = i, "broker", 9092+i
		resp.Brokers = append(resp.Brokers, b)
	}
	for _, want := range m.Topics {
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = want.Topic
		t := c.topics[*want.Topic]
		if t == nil || broker == c.unheard-1 {
			rt.ErrorCode = int16(protocol.UnknownTopicOrPartition) // also if it is being made now
			resp.Topics = append(resp.Topics, rt)
			if c.auto && m.AllowAutoTopicCreation {
				c.create(*want.Topic, 1)
			}
			continue
		}
		if c.hidden {
			rt.ErrorCode = int16(protocol.TopicAuthorizationFailed)
			resp.Topics = append(resp.Topics, rt)
			continue
		}
		rt.TopicID = t.id
		for i, p := range t.parts {
			if c.few > 0 && i == c.few {
				break
			}
			rp := kmsg.NewMetadataResponseTopicPartition()
			rp.Partition, rp.Leader, rp.LeaderEpoch = int32(i), p.leader, p.epoch
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (c *modelCluster) describe(m *kmsg.DescribeProducersRequest, broker int32) kmsg.Response {
	return describeAnswer(m, func(topic string, rp *kmsg.DescribeProducersResponseTopicPartition) {
		t := c.topics[topic]
		switch {
		case c.noAsk:
			rp.ErrorCode = int16(protocol.TopicAuthorizationFailed)
		case t == nil || t.parts[rp.Partition].leader != broker:
			rp.ErrorCode = int16(protocol.NotLeaderOrFollower)
		default:
			for id, st := range t.parts[rp.Partition].state {
				ap := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				ap.ProducerID, ap.ProducerEpoch = id, int32(st.epoch)
				ap.LastSequence = int32(st.window[len(st.window)-1].last())
				rp.ActiveProducers = append(rp.ActiveProducers, ap)
			}
		}
	})
}

func (c *modelCluster) listOffsets(m *kmsg.ListOffsetsRequest, broker int32) kmsg.Response {
	return offsetsAnswer(m, func(topic string, at int64, rp *kmsg.ListOffsetsResponseTopicPartition) {
		t := c.topics[topic]
		switch {
		case t == nil || t.parts[rp.Partition].leader != broker || c.deposed:
			rp.ErrorCode = int16(protocol.NotLeaderOrFollower)
		case at == -2:
			rp.Offset = t.parts[rp.Partition].start
		default:
			rp.Offset = t.parts[rp.Partition].hw
		}
	})
}

func (c *modelCluster) fetch(m *kmsg.FetchRequest, broker int32) kmsg.Response {
	resp := kmsg.NewPtrFetchResponse()
	for _, rt := range m.Topics {
		out := kmsg.NewFetchResponseTopic()
		out.Topic = rt.Topic
		for _, q := range rt.Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition = q.Partition
			t := c.topics[rt.Topic]
			if t == nil || t.parts[q.Partition].leader != broker {
				rp.ErrorCode = int16(protocol.NotLeaderOrFollower)
				out.Partitions = append(out.Partitions, rp)
				continue
			}
			p := t.parts[q.Partition]
			rp.HighWatermark, rp.LogStartOffset = p.hw, p.start
			if q.FetchOffset < p.start || q.FetchOffset > p.end() { // Kafka tells no offset with it
				rp.ErrorCode = int16(protocol.OffsetOutOfRange)
				rp.HighWatermark, rp.LogStartOffset = -1, -1
			}
			for _, b := range p.log {
				if b.offset+int64(b.count) > q.FetchOffset && b.offset < p.hw && rp.ErrorCode == 0 {
					rp.RecordBatches = appendLogged(rp.RecordBatches, &b)
				}
			}
			out.Partitions = append(out.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// appendLogged writes the header of a batch as a Fetch answer has it; the records are
// left empty, as nobody here reads them.
func appendLogged(dst []byte, b *modelBatch) []byte {
	buf := make([]byte, protocol.BatchHeaderSize)
	protocol.WriteBatchHeader(buf, protocol.BatchHeader{
		FirstTimestamp: b.maxTS, MaxTimestamp: b.maxTS, Identity: b.id, Base: b.base, Count: b.count,
	})
	binary.BigEndian.PutUint64(buf, uint64(b.offset))
	return append(dst, buf...)
}

func (c *modelCluster) configs(m *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for _, q := range m.Resources {
		res := kmsg.NewDescribeConfigsResponseResource()
		res.ResourceType, res.ResourceName = q.ResourceType, q.ResourceName
		cfg := kmsg.NewDescribeConfigsResponseResourceConfig()
		cfg.Name, cfg.Value = "producer.id.expiration.ms", kmsg.StringPtr(strconv.FormatInt(c.expire, 10))
		res.Configs = append(res.Configs, cfg)
		resp.Resources = append(resp.Resources, res)
	}
	return resp
}
