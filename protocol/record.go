package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Record is a record of a batch, decoded. Its slices point into the bytes that
// it was read from.
type Record struct {
	Attributes     int8
	TimestampDelta int64 // ms after the batch's FirstTimestamp
	OffsetDelta    int32
	Key, Value     []byte // nil: null
	HeaderCount    int
	Headers        []byte // encoded, well-formed: for NextHeader
}

// NextRecord reads the first record of records, which are not compressed, and
// returns what follows it. It allocates nothing.
func NextRecord(records []byte) (r Record, rest []byte, err error) {
	length, n := varint32(records)
	if n <= 0 || length < 0 || int(length) > len(records)-n {
		return Record{}, nil, recordError("length", records)
	}
	b, rest := records[n:n+int(length)], records[n+int(length):]
	if len(b) < 1 {
		return Record{}, nil, recordError("attributes", records)
	}
	r.Attributes = int8(b[0])
	b = b[1:]
	if r.TimestampDelta, n = binary.Varint(b); n <= 0 {
		return Record{}, nil, recordError("timestamp delta", records)
	}
	b = b[n:]
	if r.OffsetDelta, n = varint32(b); n <= 0 {
		return Record{}, nil, recordError("offset delta", records)
	}
	var ok bool
	if r.Key, b, ok = takeNullable(b[n:]); !ok {
		return Record{}, nil, recordError("key", records)
	}
	if r.Value, b, ok = takeNullable(b); !ok {
		return Record{}, nil, recordError("value", records)
	}
	count, n := varint32(b)
	if n <= 0 || count < 0 {
		return Record{}, nil, recordError("header count", records)
	}
	r.HeaderCount, r.Headers = int(count), b[n:]
	b = r.Headers
	for range count {
		if _, _, b, err = NextHeader(b); err != nil {
			return Record{}, nil, err
		}
	}
	if len(b) != 0 {
		return Record{}, nil, recordError("end", records)
	}
	return r, rest, nil
}

// NextHeader reads the first of a record's headers and returns what follows it.
func NextHeader(headers []byte) (key, value, rest []byte, err error) {
	key, rest, ok := takeNullable(headers)
	if !ok || key == nil {
		return nil, nil, nil, recordError("header key", headers)
	}
	value, rest, ok = takeNullable(rest)
	if !ok {
		return nil, nil, nil, recordError("header value", headers)
	}
	return key, value, rest, nil
}

func recordError(what string, b []byte) error {
	return fmt.Errorf("%w: %s of a record, %d bytes before the end", ErrBatch, what, len(b))
}

// takeNullable reads bytes with a varint length, of which -1 is null.
func takeNullable(b []byte) (field, rest []byte, ok bool) {
	length, n := varint32(b)
	if n <= 0 || length < -1 || int(length) > len(b)-n {
		return nil, nil, false
	}
	if length < 0 {
		return nil, b[n:], true
	}
	end := n + int(length)
	return b[n:end:end], b[end:], true
}

// varint32 reads a zigzag varint of Kafka's: at most five bytes, 32 bits.
func varint32(b []byte) (int32, int) {
	v, n := binary.Varint(b)
	if n > 5 || v < math.MinInt32 || v > math.MaxInt32 {
		return 0, -1
	}
	return int32(v), n
}
