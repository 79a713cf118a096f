package txn

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestOwnRecordsTellWhatBecameOfATransaction(t *testing.T) {
	us := protocol.ProducerIdentity{ID: 7, Epoch: 3}
	batch := func(who protocol.ProducerIdentity, base protocol.Offset, n int32) []byte {
		b := make([]byte, protocol.BatchHeaderSize)
		protocol.WriteBatchHeader(b, protocol.BatchHeader{Identity: who, Count: n})
		binary.BigEndian.PutUint64(b, uint64(base)) // the broker's
		return b
	}
	tests := []struct {
		name    string
		log     []byte
		start   int64
		stable  int64
		aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
		want    Verdict
	}{
		{"its records, and nothing was aborted", batch(us, 100, 3), 0, 104, nil, WasCommitted},
		{"its records, and it was aborted", batch(us, 100, 3), 0, 104, []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 100}}, NotCommitted},
		{"a marker decided it and one before it", batch(us, 100, 3), 0, 104, []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 90}}, NotCommitted},
		{"a later one was aborted", batch(us, 100, 3), 0, 120, []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 110}}, WasCommitted},
		{"somebody else's was aborted", batch(us, 100, 3), 0, 104, []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 8, FirstOffset: 99}}, WasCommitted},
		{"a batch that reaches over it", batch(us, 99, 3), 0, 104, nil, WasCommitted},
		{"it has not ended", batch(us, 100, 3), 0, 100, nil, NothingNew},
		{"the log begins above", nil, 101, 104, nil, Unknown},
		{"nothing is there", nil, 0, 104, nil, Unknown},
		{"somebody else's record", batch(protocol.ProducerIdentity{ID: 8, Epoch: 3}, 100, 3), 0, 104, nil, Unknown},
		{"a record of another epoch", batch(protocol.ProducerIdentity{ID: 7, Epoch: 4}, 100, 3), 0, 104, nil, Unknown},
		{"compacted away", batch(us, 101, 3), 0, 104, nil, Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := kmsg.NewFetchResponseTopicPartition()
			r.RecordBatches, r.LogStartOffset, r.LastStableOffset, r.AbortedTransactions = tt.log, tt.start, tt.stable, tt.aborted
			if got, why := Evidence(us, 100, &r); got != tt.want {
				t.Errorf("verdict %d (%s), want %d", got, why, tt.want)
			}
		})
	}
}
