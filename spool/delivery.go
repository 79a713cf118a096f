package spool

import "github.com/spoold/spoold/protocol"

// Delivery says what became of entries: acked at these offsets, or refused.
type Delivery struct {
	Lane      LaneID
	Spans     []Span
	Partition int32
	Offset    protocol.Offset // of the first of them, the others follow; NoOffset: acked, place unknown
	Timestamp int64           // LogAppendTime, or -1: the record's own
	Err       error           // not nil: dead-lettered, why
}
