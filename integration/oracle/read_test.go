package oracle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
)

// maxBatch bounds what a batch may decompress to.
const maxBatch = 1 << 22

// record is a record as a consumer sees it.
type record struct {
	Offset   int64
	Nanos    int64 // ns since 1970, as kgo keeps it: it overflows after the year 2262. The broker's if the batch says LogAppendTime
	Key      []byte
	Value    []byte
	Headers  []kmsg.Header
	Identity protocol.ProducerIdentity
}

func (r record) String() string {
	short := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%d bytes %.20q", len(b), b)
	}
	text := fmt.Sprintf("offset %d, %d ns, of %v: %s = %s", r.Offset, r.Nanos, r.Identity, short(r.Key), short(r.Value))
	for _, h := range r.Headers {
		text += fmt.Sprintf(", %q = %s", h.Key, short(h.Value))
	}
	return text
}

// equal tells null from empty.
func (r *record) equal(x *record) bool {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	return r.Offset == x.Offset && r.Nanos == x.Nanos && same(r.Key, x.Key) && same(r.Value, x.Value) && r.Identity == x.Identity &&
		slices.EqualFunc(r.Headers, x.Headers, func(a, b kmsg.Header) bool { return a.Key == b.Key && same(a.Value, b.Value) })
}

// ours is what our reader makes of a log: the records of its batches up to the first that it does not
// take, and how many batches that were. A last batch that is cut off is no error.
func ours(log []byte) (records []record, batches int, err error) {
	for {
		h, size, rest, err := protocol.NextBatchHeader(log)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return records, batches, nil
		}
		if err != nil {
			return records, batches, err
		}
		more, err := ourBatch(h, log[:size])
		if err != nil {
			return records, batches, err
		}
		records, batches, log = append(records, more...), batches+1, rest
	}
}

func ourBatch(h protocol.BatchHeader, batch []byte) ([]record, error) {
	if err := protocol.VerifyBatch(batch); err != nil {
		return nil, err
	}
	raw, err := codec.Decompress(nil, batch[protocol.BatchHeaderSize:], h.Attributes.Codec(), maxBatch)
	if err != nil {
		return nil, err
	}
	if err := protocol.VerifyRecords(h, raw); err != nil {
		return nil, err
	}
	var records []record
	for len(raw) > 0 {
		k, rest, err := protocol.NextRecord(raw)
		if err != nil {
			return nil, err
		}
		r := record{Offset: int64(h.BaseOffset) + int64(k.OffsetDelta), Nanos: (h.FirstTimestamp + k.TimestampDelta) * 1e6, Key: k.Key, Value: k.Value, Identity: h.Identity}
		if h.Attributes&protocol.AttributeLogAppendTime != 0 {
			r.Nanos = h.MaxTimestamp * 1e6
		}
		for b := k.Headers; len(b) > 0; {
			key, value, next, err := protocol.NextHeader(b)
			if err != nil {
				return nil, err
			}
			r.Headers, b = append(r.Headers, kmsg.Header{Key: string(key), Value: value}), next
		}
		records, raw = append(records, r), rest
	}
	return records, nil
}

var kgos = kgo.DefaultDecompressor()

// theirs is what kgo makes of the same log.
func theirs(log []byte) ([]record, error) {
	part := kmsg.NewFetchResponseTopicPartition()
	part.RecordBatches, part.HighWatermark = log, math.MaxInt64
	o := kgo.ProcessFetchPartitionOpts{Topic: "t", KeepControlRecords: true}
	fp, _ := kgo.ProcessFetchPartition(o, &part, kgos, nil)
	var records []record
	for _, r := range fp.Records {
		x := record{Offset: r.Offset, Nanos: r.Timestamp.UnixNano(), Key: r.Key, Value: r.Value,
			Identity: protocol.ProducerIdentity{ID: protocol.ProducerID(r.ProducerID), Epoch: protocol.ProducerEpoch(r.ProducerEpoch)}}
		for _, h := range r.Headers {
			x.Headers = append(x.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		records = append(records, x)
	}
	return records, fp.Err
}

// compare says where two lists differ.
func compare(got, want []record) error {
	for i := range min(len(got), len(want)) {
		if !got[i].equal(&want[i]) {
			return fmt.Errorf("record %d is %v, want %v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	return nil
}

// refusal is why we may refuse a batch, its length and CRC right, that kgo takes; "" if it must be taken
// by both or by none. Nothing of this is written by a client or stored by a broker.
func refusal(batch []byte) (why string) {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(batch); err != nil {
		return "its header is cut off"
	}
	switch {
	case b.Magic != 2:
		return "an older message format"
	case b.FirstOffset < 0 || b.LastOffsetDelta < 0:
		return "an offset below zero"
	case int64(b.NumRecords) > int64(b.LastOffsetDelta)+1:
		return "more records than its offsets have room for"
	}
	raw, err := kgos.Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&7))
	if err != nil {
		return "" // kgo does not take it either
	}
	last := int32(-1)
	for range b.NumRecords {
		var r kmsg.Record
		if r.ReadFrom(raw) != nil {
			return ""
		}
		size := int(r.Length) + len(binary.AppendVarint(nil, int64(r.Length)))
		switch {
		case r.Length < 0 || size > len(raw) || !bytes.Equal(r.AppendTo(nil), raw[:size]):
			return "a record that kmsg itself would write in another way"
		case r.OffsetDelta <= last || r.OffsetDelta > b.LastOffsetDelta:
			return "offsets that do not rise, or pass the batch's last"
		}
		last, raw = r.OffsetDelta, raw[size:]
	}
	if len(raw) > 0 {
		return "bytes behind its records"
	}
	return ""
}
