package differ

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
)

// Answers as text. stamped says that the broker's clock gave the timestamps of a topic: they differ between two brokers,
// and only whether there is one is told.

func stampText(ms int64, stamped bool) string {
	if stamped && ms >= 0 {
		return "the broker's"
	}
	return fmt.Sprint(ms)
}

func produceText(p *kmsg.ProduceResponseTopicPartition, stamped bool) string {
	var records []string
	for _, e := range p.ErrorRecords {
		records = append(records, fmt.Sprint(e.RelativeOffset))
	}
	return fmt.Sprintf("%s, base offset %d, append time %s, log start %d, records refused [%s], with a message %v, leader %d epoch %d",
		raw.Code(p.ErrorCode), p.BaseOffset, stampText(p.LogAppendTime, stamped), p.LogStartOffset, strings.Join(records, " "),
		p.ErrorMessage != nil, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch)
}

func fetchText(p *kmsg.FetchResponseTopicPartition, stamped bool) string {
	return fmt.Sprintf("%s, high watermark %d, last stable offset %d, log start %d, %d bytes: %s",
		raw.Code(p.ErrorCode), p.HighWatermark, p.LastStableOffset, p.LogStartOffset, len(p.RecordBatches), logText(p.RecordBatches, stamped))
}

// logText is every byte of a log: what is not told as a number is in a sum.
func logText(log []byte, stamped bool) string {
	var out []string
	for {
		b, rest, ok := raw.Next(log)
		if !ok {
			break
		}
		log = rest
		s := fmt.Sprintf("[%d+%d epoch %d pid %d e%d s%d attributes %#x, %d records, %d bytes, sound %v, times %d to %s", b.Base(), b.LastDelta(), b.Epoch(),
			b.PID(), b.PEpoch(), b.Sequence(), b.Attributes(), b.Count(), len(b), b.Sound(), b.FirstTime(), stampText(b.MaxTime(), stamped))
		if stamped {
			out = append(out, fmt.Sprintf("%s, records %08x]", s, crc32.ChecksumIEEE(b[raw.HeaderSize:])))
		} else {
			out = append(out, fmt.Sprintf("%s, sum %08x]", s, crc32.ChecksumIEEE(b)))
		}
	}
	if len(log) > 0 {
		out = append(out, fmt.Sprintf("[%d bytes of the next]", len(log)))
	}
	return strings.Join(out, " ")
}

// offsetText: the leader epoch of the log's beginning is not told. After a lost checkpoint it says more about files than about records.
func offsetText(p *kmsg.ListOffsetsResponseTopicPartition, timestamp int64) string {
	if timestamp == raw.Earliest {
		return fmt.Sprintf("%s, offset %d, timestamp %d", raw.Code(p.ErrorCode), p.Offset, p.Timestamp)
	}
	return fmt.Sprintf("%s, offset %d, timestamp %d, leader epoch %d", raw.Code(p.ErrorCode), p.Offset, p.Timestamp, p.LeaderEpoch)
}

func deleteText(p *kmsg.DeleteRecordsResponseTopicPartition) string {
	return fmt.Sprintf("%s, low watermark %d", raw.Code(p.ErrorCode), p.LowWatermark)
}

// initText: ids themselves are each cluster's own.
func initText(p *kmsg.InitProducerIDResponse, given int64) string {
	return fmt.Sprintf("%s, an id %v, another one than given %v, epoch %d", raw.Code(p.ErrorCode), p.ProducerID >= 0, p.ProducerID != given, p.ProducerEpoch)
}

func knownText(p *kmsg.DescribeProducersResponseTopicPartition, stamped bool) string {
	type active = kmsg.DescribeProducersResponseTopicPartitionActiveProducer
	slices.SortFunc(p.ActiveProducers, func(a, b active) int { return cmp.Compare(a.ProducerID, b.ProducerID) })
	out := []string{raw.Code(p.ErrorCode)}
	for _, a := range p.ActiveProducers {
		out = append(out, fmt.Sprintf("[pid %d epoch %d last sequence %d at %s coordinator %d transaction %d]", a.ProducerID, a.ProducerEpoch, a.LastSequence,
			stampText(a.LastTimestamp, stamped), a.CoordinatorEpoch, a.CurrentTxnStartOffset))
	}
	return strings.Join(out, " ")
}

// metadataText numbers brokers from first on. ids are the incarnations' of the topic, on this side.
func metadataText(m *kmsg.MetadataResponse, first int32, ids [][16]byte) string {
	var up, parts []string
	for _, b := range m.Brokers {
		up = append(up, fmt.Sprint(b.NodeID-first))
	}
	slices.Sort(up)
	less := func(list []int32) []int32 {
		out := slices.Clone(list)
		for i := range out {
			out[i] -= first
		}
		return out
	}
	t := &m.Topics[0]
	slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	for i := range t.Partitions {
		p := &t.Partitions[i]
		leader, isr := p.Leader, less(p.ISR)
		if leader >= 0 {
			leader -= first
		}
		slices.Sort(isr)
		parts = append(parts, fmt.Sprintf("[%d %s leader %d epoch %d replicas %v in sync %v]", p.Partition, raw.Code(p.ErrorCode), leader, p.LeaderEpoch, less(p.Replicas), isr))
	}
	return fmt.Sprintf("brokers %v, topic %s, life %d, %s", up, raw.Code(t.ErrorCode), slices.Index(ids, t.TopicID), strings.Join(parts, " "))
}
