package world

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// What requests and answers are called in a trace.

func describe(r sender.Request) string {
	out := fmt.Sprintf("%d produce", r.ID)
	for _, b := range r.Batches {
		out += fmt.Sprintf(" %s-%d %v seq %d+%d", b.Topic, b.Partition, b.Identity, b.Base, b.Count)
	}
	return out
}

func describeMessage(m kmsg.Request) (out string) {
	switch r := m.(type) {
	case *kmsg.ProduceRequest:
		out = "produce"
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				h, _, _, err := protocol.NextBatchHeader(r.Topics[i].Partitions[j].Records)
				if err == nil {
					out += fmt.Sprintf(" %s-%d %v seq %d+%d", r.Topics[i].Topic, r.Topics[i].Partitions[j].Partition, h.Identity, h.Base, h.Count)
				}
			}
		}
	case *kmsg.FetchRequest:
		out = "fetch"
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				out += fmt.Sprintf(" %s-%d from %d", r.Topics[i].Topic, p.Partition, p.FetchOffset)
			}
		}
	case *kmsg.ListOffsetsRequest:
		out = "list offsets"
		if r.IsolationLevel > 0 {
			out = "list stable offsets"
		}
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				out += fmt.Sprintf(" %s-%d at %d", r.Topics[i].Topic, p.Partition, p.Timestamp)
			}
		}
	case *kmsg.DescribeProducersRequest:
		out = "describe producers"
		for i := range r.Topics {
			out += fmt.Sprintf(" %s %v", r.Topics[i].Topic, r.Topics[i].Partitions)
		}
	default:
		out = kmsg.NameForKey(m.Key())
	}
	return out
}

func outcome(m kmsg.Response) (out string) {
	switch r := m.(type) {
	case *kmsg.ProduceResponse:
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				out += fmt.Sprintf(" %s-%d %v at %d", r.Topics[i].Topic, p.Partition, protocol.ErrorCode(p.ErrorCode), p.BaseOffset)
			}
		}
	case *kmsg.FetchResponse:
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				out += fmt.Sprintf(" %s-%d %v start %d high watermark %d, %d bytes", r.Topics[i].Topic, p.Partition, protocol.ErrorCode(p.ErrorCode),
					p.LogStartOffset, p.HighWatermark, len(p.RecordBatches))
			}
		}
	case *kmsg.ListOffsetsResponse:
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				out += fmt.Sprintf(" %s-%d %v %d", r.Topics[i].Topic, p.Partition, protocol.ErrorCode(p.ErrorCode), p.Offset)
			}
		}
	case *kmsg.DescribeProducersResponse:
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				out += fmt.Sprintf(" %s-%d %v", r.Topics[i].Topic, p.Partition, protocol.ErrorCode(p.ErrorCode))
				for _, a := range p.ActiveProducers {
					out += fmt.Sprintf(" %d/%d last %d", a.ProducerID, a.ProducerEpoch, a.LastSequence)
					if a.CurrentTxnStartOffset >= 0 {
						out += fmt.Sprintf(" open from %d", a.CurrentTxnStartOffset)
					}
				}
			}
		}
	case *kmsg.InitProducerIDResponse:
		out = fmt.Sprintf(" %v %d/%d", protocol.ErrorCode(r.ErrorCode), r.ProducerID, r.ProducerEpoch)
	default:
		out = " " + kmsg.NameForKey(m.Key())
	}
	return out
}
