package broker

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/spoold/spoold/protocol"
)

// A record batch as a broker reads it (DefaultRecordBatch). This is not the product's reader: two readers that
// disagree are a finding.

const (
	headerSize    = 61
	offBase       = 0
	offLength     = 8
	offEpoch      = 12
	offMagic      = 16
	offCRC        = 17
	offAttributes = 21
	offLastDelta  = 23
	offFirstTS    = 27
	offMaxTS      = 35
	offPID        = 43
	offPEpoch     = 51
	offSequence   = 53
	offCount      = 57
)

const (
	flagAppendTime    = 1 << 3
	flagTransactional = 1 << 4
	flagControl       = 1 << 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is a view of one batch's bytes.
type batch []byte

func (b batch) i64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
func (b batch) i32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b batch) i16(at int) int16 { return int16(binary.BigEndian.Uint16(b[at:])) }

func (b batch) size() int { return 12 + int(b.i32(offLength)) }

// sum is the CRC over what follows it.
func (b batch) sound() bool {
	return crc32.Checksum(b[offAttributes:], castagnoli) == binary.BigEndian.Uint32(b[offCRC:])
}

// split takes exactly one batch of a partition's records (ProduceRequest.validateRecords).
func split(records []byte) (batch, protocol.ErrorCode) {
	if len(records) < headerSize || records[offMagic] != 2 {
		return nil, protocol.InvalidRecord
	}
	b := batch(records)
	if b.size() != len(records) {
		return nil, protocol.InvalidRecord // more than one, or half of one
	}
	return b, protocol.None
}

// Record is one record of a batch.
type Record struct {
	Timestamp  int64
	Key, Value []byte // nil: null
	Headers    []Header
}

// Header of a record.
type Header struct{ Key, Value []byte }

// records calls yield with each record of an uncompressed batch and reports whether they could all be read, and
// were as many as the header says.
func (b batch) records(yield func(i int, delta int64, r *Record)) bool {
	d := varints{b: b[headerSize:]}
	first := b.i64(offFirstTS)
	n := int(b.i32(offCount))
	for i := range n {
		size := d.next()
		if d.bad || size < 0 || size > int64(len(d.b)) {
			return false
		}
		in := varints{b: d.b[:size]}
		d.b = d.b[size:]
		in.skip(1) // attributes
		r := Record{Timestamp: first + in.next()}
		delta := in.next()
		r.Key, r.Value = in.bytes(), in.bytes()
		for range in.count() {
			h := Header{Key: in.bytes()}
			h.Value = in.bytes()
			if h.Key == nil {
				return false
			}
			r.Headers = append(r.Headers, h)
		}
		if in.bad || len(in.b) != 0 {
			return false
		}
		yield(i, delta, &r)
	}
	return len(d.b) == 0
}

// varints reads zigzag numbers and what they measure.
type varints struct {
	b   []byte
	bad bool
}

func (d *varints) next() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *varints) skip(n int) {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[n:]
}

func (d *varints) count() int {
	n := d.next()
	if n < 0 || n > int64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// bytes reads a length and so many bytes; -1 is null.
func (d *varints) bytes() []byte {
	n := d.next()
	if n < 0 {
		d.bad = d.bad || n != -1
		return nil
	}
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// resum writes the checksum anew.
func resum(b []byte) {
	binary.BigEndian.PutUint32(b[offCRC:], crc32.Checksum(b[offAttributes:], castagnoli))
}
