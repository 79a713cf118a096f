package accumulator

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Batch is one record batch on its way to one partition. The sender owns it; the
// shell reads the exported fields of a batch that it was given to encode or to
// send, and writes none of them.
type Batch struct {
	Lane      spool.LaneID
	Topic     string
	TopicID   protocol.TopicID
	Partition int32

	// Identity and Base are set when the batch is sealed and never change after.
	Identity protocol.ProducerIdentity
	Base     protocol.Sequence
	Count    int32

	FirstTimestamp int64 // of the first record: what deltas count from, ms
	MaxTimestamp   int64
	Spans          []spool.Span // which entries, ascending

	// Buf is protocol.BatchHeaderSize bytes of room, then the records, not compressed.
	Buf []byte

	// Ordinal is the seal's, 0 before.
	Ordinal uint64

	created int64 // Age when its first record joined: linger counts from here
	full    bool
}

// Records is the encoded records, not compressed.
func (b *Batch) Records() []byte { return b.Buf[protocol.BatchHeaderSize:] }
