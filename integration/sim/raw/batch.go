package raw

import (
	"encoding/binary"
	"hash/crc32"
)

// HeaderSize is where records begin (DefaultRecordBatch.RECORD_BATCH_OVERHEAD).
const HeaderSize = 61

// Where the fields of a batch are (DefaultRecordBatch).
const (
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

// Bits of a batch's attributes.
const (
	AppendTime    = 1 << 3
	Transactional = 1 << 4
	Control       = 1 << 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is a view of one batch's bytes, which are at least HeaderSize.
type Batch []byte

func (b Batch) i64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
func (b Batch) i32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b Batch) i16(at int) int16 { return int16(binary.BigEndian.Uint16(b[at:])) }

// Fields of the header.

func (b Batch) Base() int64        { return b.i64(offBase) }
func (b Batch) Epoch() int32       { return b.i32(offEpoch) } // of the leader
func (b Batch) Magic() int8        { return int8(b[offMagic]) }
func (b Batch) Attributes() int16  { return b.i16(offAttributes) }
func (b Batch) LastDelta() int32   { return b.i32(offLastDelta) }
func (b Batch) FirstTime() int64   { return b.i64(offFirstTS) }
func (b Batch) MaxTime() int64     { return b.i64(offMaxTS) }
func (b Batch) PID() int64         { return b.i64(offPID) }
func (b Batch) PEpoch() int16      { return b.i16(offPEpoch) }
func (b Batch) Sequence() int32    { return b.i32(offSequence) }
func (b Batch) Count() int32       { return b.i32(offCount) }
func (b Batch) Is(flag int16) bool { return b.Attributes()&flag != 0 }

// Last is the offset of the last record.
func (b Batch) Last() int64 { return b.Base() + int64(b.LastDelta()) }

// LastSequence is the sequence of the last record: after the greatest comes 0. -1: the batch has none.
func (b Batch) LastSequence() int32 {
	if b.Sequence() < 0 {
		return -1
	}
	return int32((int64(b.Sequence()) + int64(b.LastDelta())) & (1<<31 - 1))
}

// Sound reports whether the checksum is that of what follows it.
func (b Batch) Sound() bool {
	return crc32.Checksum(b[offAttributes:], castagnoli) == binary.BigEndian.Uint32(b[offCRC:])
}

// Place writes what a leader decides; the checksum does not cover it.
func (b Batch) Place(base int64, epoch int32) {
	binary.BigEndian.PutUint64(b[offBase:], uint64(base))
	binary.BigEndian.PutUint32(b[offEpoch:], uint32(epoch))
}

// Stamp writes the largest timestamp and whose it is, and the checksum anew (DefaultRecordBatch.setMaxTimestamp).
func (b Batch) Stamp(most int64, appendTime bool) {
	if b.MaxTime() == most && b.Is(AppendTime) == appendTime {
		return
	}
	attributes := b.Attributes() &^ AppendTime
	if appendTime {
		attributes |= AppendTime
	}
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(attributes))
	binary.BigEndian.PutUint64(b[offMaxTS:], uint64(most))
	b.sum()
}

func (b Batch) sum() {
	binary.BigEndian.PutUint32(b[offCRC:], crc32.Checksum(b[offAttributes:], castagnoli))
}

// Next takes the first batch off a log or a partition's records. ok is false when there is no whole one; then b
// says nothing.
func Next(log []byte) (b Batch, rest []byte, ok bool) {
	if len(log) < 12 {
		return nil, log, false
	}
	size := 12 + int64(int32(binary.BigEndian.Uint32(log[offLength:])))
	if size < HeaderSize || size > int64(len(log)) {
		return nil, log, false
	}
	return Batch(log[:size:size]), log[size:], true
}
