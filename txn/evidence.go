package txn

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// When the progress of a decided transaction is gone, because its offset has expired or its group was deleted, the log can
// still show it: the transaction's own records are there, and beside them which transactions were aborted.

// Evidence judges what a read_committed Fetch from the offset of a transaction's first record in a partition brought: whether
// the transaction was committed, or was not. NothingNew: it has not ended yet, ask again. Unknown: its records are not
// there any more.
func Evidence(who protocol.ProducerIdentity, first protocol.Offset, r *kmsg.FetchResponseTopicPartition) (Verdict, string) {
	switch {
	case r.LogStartOffset > int64(first):
		return Unknown, fmt.Sprintf("its first record had offset %d, and the log begins at %d", first, r.LogStartOffset)
	case r.LastStableOffset <= int64(first):
		return NothingNew, "its transaction, or one before it, has not ended there"
	}
	h, _, _, err := protocol.NextBatchHeader(r.RecordBatches)
	switch {
	case err != nil:
		return Unknown, fmt.Sprintf("nothing that can be read is at offset %d: %v", first, err)
	case h.BaseOffset > first || h.LastOffset() < first || h.Identity != who:
		return Unknown, fmt.Sprintf("at offset %d is not its record but one of producer %v", first, h.Identity)
	}
	for _, a := range r.AbortedTransactions {
		if a.ProducerID == int64(who.ID) && a.FirstOffset <= int64(first) {
			return NotCommitted, ""
		}
	}
	return WasCommitted, ""
}
