package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An entry on disk, inside a topic's section of a block:
//
//	uvarint   length of what follows
//	byte      kind (1 = record; 2 = first record of a unit, see unit.go)
//	8 bytes   timestamp, ms since 1970, little endian
//	varint    requested partition, zigzag (-1: the partitioner chooses)
//	rest      body: Kafka's v2 record from the key length to the headers
//
// The body is copied verbatim into batches ever after; only a record's head
// (length, attributes, deltas) is written when it joins one.

// KindRecord is the kind byte of a record. Others are refused as damage.
const KindRecord = 1

// MaxEntryOverhead is what an entry takes besides key, value and headers'
// bytes, at most, when it has no headers.
const MaxEntryOverhead = 5 + 1 + 8 + 5 + 5 + 5 + 1

// Header is a record header. A nil Value is Kafka's null.
type Header struct {
	Key   string
	Value []byte
}

// Entry is one record as the spool holds it. Key and Body point into the section it
// was read from.
type Entry struct {
	Timestamp int64 // ms since 1970
	Partition int32 // requested, or protocol.NoPartition
	Key       []byte
	HasKey    bool   // false: the key is null
	Body      []byte // key length, key, value length, value, headers: Kafka's bytes
	unit      []byte // see Runs
}

// errEntry is wrapped by every failure to read an entry.
var errEntry = errors.New("damaged entry")

// BodySize is the length of the body that AppendEntry would write.
func BodySize(key, value []byte, headers []Header) int {
	n := bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		n += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + bytesSize(headers[i].Value)
	}
	return n
}

// EntrySize is the number of bytes that AppendEntry adds for a body of bodySize.
func EntrySize(bodySize int, partition int32) int {
	rest := 1 + 8 + varintSize(int64(partition)) + bodySize
	return uvarintSize(uint64(rest)) + rest
}

// AppendEntry appends one entry. bodySize is BodySize of the same arguments:
// callers have it already, from checking limits.
func AppendEntry(dst []byte, timestamp int64, partition int32, key, value []byte, headers []Header, bodySize int) []byte {
	dst = binary.AppendUvarint(dst, uint64(1+8+varintSize(int64(partition))+bodySize))
	dst = append(dst, KindRecord)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(timestamp))
	dst = binary.AppendVarint(dst, int64(partition))
	return appendBody(dst, key, value, headers)
}

// appendBody appends Kafka's bytes of a record from the key length to the headers.
func appendBody(dst, key, value []byte, headers []Header) []byte {
	dst = appendBytes(dst, key)
	dst = appendBytes(dst, value)
	dst = binary.AppendVarint(dst, int64(len(headers)))
	for i := range headers {
		dst = binary.AppendVarint(dst, int64(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendBytes(dst, headers[i].Value)
	}
	return dst
}

// AppendAgain appends an entry that was read: as the first of a unit's entries in its lane, or, with no runs, as an ordinary one.
func AppendAgain(dst []byte, e *Entry, unit []UnitRun) []byte {
	kind, list := byte(KindRecord), []byte(nil)
	if len(unit) > 0 {
		kind, list = KindUnit, appendUnit(make([]byte, 0, 64), unit)
	}
	dst = binary.AppendUvarint(dst, uint64(1+8+varintSize(int64(e.Partition))+len(list)+len(e.Body)))
	dst = append(dst, kind)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Timestamp))
	dst = binary.AppendVarint(dst, int64(e.Partition))
	dst = append(dst, list...)
	return append(dst, e.Body...)
}

// NextEntry reads the first entry of section and returns the rest. It fails on
// anything that AppendEntry would not have written as far as the key; the
// block's checksum vouches for what follows.
func NextEntry(section []byte) (e Entry, rest []byte, err error) {
	size, n := binary.Uvarint(section)
	if n <= 0 || size > uint64(len(section)-n) {
		return Entry{}, nil, fmt.Errorf("%w: length runs past the section of %d bytes", errEntry, len(section))
	}
	raw := section[n : n+int(size)]
	rest = section[n+int(size):]
	if len(raw) < 10 || raw[0] != KindRecord && raw[0] != KindUnit {
		return Entry{}, nil, fmt.Errorf("%w: %d bytes, kind unknown or cut short", errEntry, len(raw))
	}
	e.Timestamp = int64(binary.LittleEndian.Uint64(raw[1:]))
	partition, n := binary.Varint(raw[9:])
	if n <= 0 || partition < -1 || partition > 1<<31-1 {
		return Entry{}, nil, fmt.Errorf("%w: partition", errEntry)
	}
	e.Partition = int32(partition)
	e.Body = raw[9+n:]
	if raw[0] == KindUnit {
		if e.unit, e.Body, err = skipUnit(e.Body); err != nil {
			return Entry{}, nil, err
		}
	}
	keyLen, n := binary.Varint(e.Body)
	if n <= 0 || keyLen < -1 || keyLen > int64(len(e.Body)-n) {
		return Entry{}, nil, fmt.Errorf("%w: key length", errEntry)
	}
	if keyLen >= 0 {
		e.HasKey = true
		e.Key = e.Body[n : n+int(keyLen)]
	}
	return e, rest, nil
}

// Record is an entry taken apart, for people and exports.
type Record struct {
	Timestamp int64
	Partition int32
	Key       []byte // nil: null
	Value     []byte // nil: null
	Headers   []Header
}

// Record takes the body apart.
func (e Entry) Record() (Record, error) {
	r := Record{Timestamp: e.Timestamp, Partition: e.Partition}
	b := e.Body
	var err error
	if r.Key, b, err = takeBytes(b); err != nil {
		return Record{}, err
	}
	if r.Value, b, err = takeBytes(b); err != nil {
		return Record{}, err
	}
	count, n := binary.Varint(b)
	if n <= 0 || count < 0 || count > int64(len(b)) {
		return Record{}, fmt.Errorf("%w: header count", errEntry)
	}
	b = b[n:]
	for range count {
		var key, value []byte
		if key, b, err = takeBytes(b); err != nil || key == nil {
			return Record{}, fmt.Errorf("%w: header key", errEntry)
		}
		if value, b, err = takeBytes(b); err != nil {
			return Record{}, err
		}
		r.Headers = append(r.Headers, Header{Key: string(key), Value: value})
	}
	if len(b) != 0 {
		return Record{}, fmt.Errorf("%w: %d bytes left over", errEntry, len(b))
	}
	return r, nil
}

// RecordHead is the largest head that AppendRecord writes before a body.
const RecordHead = 16

// AppendRecord appends the Kafka record (magic 2) of an entry: its head with the
// deltas within the batch, then the body as it is.
func AppendRecord(dst []byte, body []byte, timestampDelta int64, offsetDelta int32) []byte {
	dst = binary.AppendVarint(dst, int64(1+varintSize(timestampDelta)+varintSize(int64(offsetDelta))+len(body)))
	dst = append(dst, 0) // attributes: none are defined
	dst = binary.AppendVarint(dst, timestampDelta)
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	return append(dst, body...)
}

// RecordSize is the number of bytes that AppendRecord adds.
func RecordSize(bodySize int, timestampDelta int64, offsetDelta int32) int {
	rest := 1 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) + bodySize
	return varintSize(int64(rest)) + rest
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func takeBytes(b []byte) (field, rest []byte, err error) {
	size, n := binary.Varint(b)
	if n <= 0 || size < -1 || size > int64(len(b)-n) {
		return nil, nil, fmt.Errorf("%w: length of a field", errEntry)
	}
	if size < 0 {
		return nil, b[n:], nil
	}
	return b[n : n+int(size) : n+int(size)], b[n+int(size):], nil
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func varintSize(v int64) int { return uvarintSize(uint64(v<<1) ^ uint64(v>>63)) }

func uvarintSize(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
