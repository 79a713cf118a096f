package raw

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Code is an error code as the observations on real brokers write it.
func Code(code int16) string {
	if code == 0 {
		return "NONE"
	}
	return kerr.TypedErrorForCode(code).Message
}

// Log writes batches as "0:e0 s0+3 3:e0 s3+2": offset, producer epoch, base sequence and count; with values, that
// of the first record behind it.
func Log(log []byte, values bool) string {
	var out []string
	for {
		b, rest, ok := Next(log)
		if !ok {
			return strings.Join(out, " ")
		}
		log = rest
		s := fmt.Sprintf("%d:e%d s%d+%d", b.Base(), b.PEpoch(), b.Sequence(), b.Count())
		if values {
			first := true
			b.Records(func(_ int, r Record) {
				if first {
					s += "(" + string(r.Value) + ")"
				}
				first = false
			})
		}
		out = append(out, s)
	}
}

// Known writes what a broker knows of a producer: "epoch 0 lastSeq 13 txnStart -1 coordEpoch -1", or "absent".
func Known(p *kmsg.DescribeProducersResponseTopicPartition, pid int64) string {
	i := slices.IndexFunc(p.ActiveProducers, func(a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) bool { return a.ProducerID == pid })
	switch {
	case p.ErrorCode != 0:
		return Code(p.ErrorCode)
	case i < 0:
		return "absent"
	}
	a := &p.ActiveProducers[i]
	return fmt.Sprintf("epoch %d lastSeq %d txnStart %d coordEpoch %d", a.ProducerEpoch, a.LastSequence, a.CurrentTxnStartOffset, a.CoordinatorEpoch)
}
