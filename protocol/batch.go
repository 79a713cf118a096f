package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// A record batch, magic 2, big-endian:
//
//	 0  int64  base offset          12  int32  partition leader epoch
//	 8  int32  length of the rest   16  int8   magic, 2
//	17  uint32 CRC-32C of all that follows
//	21  int16  attributes           43  int64  producer id
//	23  int32  last offset delta    51  int16  producer epoch
//	27  int64  first timestamp      53  int32  base sequence
//	35  int64  max timestamp        57  int32  record count
//	61         records, compressed as one block if the attributes say so

// BatchHeaderSize is the number of bytes before the records.
const BatchHeaderSize = 61

const (
	lengthEnd = 12 // the length field counts from here
	magicAt   = 16
	crcStart  = 21 // the CRC covers all from here
	magic     = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBatch is wrapped by every complaint about the bytes of a batch.
var ErrBatch = errors.New("bad record batch")

// Attributes are the flags of a batch.
type Attributes int16

// Flags of Attributes. The low three bits are the codec.
const (
	AttributeLogAppendTime Attributes = 1 << 3
	AttributeTransactional Attributes = 1 << 4
	AttributeControl       Attributes = 1 << 5
)

// Codec is how the records are compressed.
func (a Attributes) Codec() Codec { return Codec(a & 7) }

// BatchHeader is what stands before the records of a batch.
type BatchHeader struct {
	BaseOffset      Offset // as the broker gave it; not written
	LeaderEpoch     int32  // as the broker gave it; not written
	Attributes      Attributes
	LastOffsetDelta int32 // not written: Count-1. Compaction keeps it and lowers Count.
	FirstTimestamp  int64 // ms since 1970; what the records' timestamp deltas count from
	MaxTimestamp    int64 // ms since 1970; of the records, or the broker's if LogAppendTime
	Identity        ProducerIdentity
	Base            Sequence
	Count           int32 // records
}

// LastOffset is the offset of the batch's last record.
func (h BatchHeader) LastOffset() Offset { return h.BaseOffset + Offset(h.LastOffsetDelta) }

// LastSequence is the sequence of the batch's last record when it was produced.
func (h BatchHeader) LastSequence() Sequence {
	if h.Base < 0 {
		return NoSequence
	}
	return h.Base.Next(int(h.LastOffsetDelta))
}

// WriteBatchHeader writes the header of the batch that dst is: BatchHeaderSize
// bytes of room, then the records, encoded and compressed as h.Attributes says.
// Base offset and leader epoch are a producer's: 0 and -1. It allocates nothing.
//
// It panics on what a broker would refuse or, worse, take: an identity that is
// not valid, a negative sequence, no records, more than 2 GiB.
func WriteBatchHeader(dst []byte, h BatchHeader) {
	if len(dst) < BatchHeaderSize || len(dst) > math.MaxInt32 || !h.Identity.Valid() || h.Base < 0 || h.Count < 1 {
		panic(fmt.Sprintf("protocol: batch of %d bytes, %d records, identity %v, base sequence %d",
			len(dst), h.Count, h.Identity, h.Base))
	}
	be := binary.BigEndian
	be.PutUint64(dst[0:], 0)
	be.PutUint32(dst[8:], uint32(len(dst)-lengthEnd))
	be.PutUint32(dst[12:], math.MaxUint32)
	dst[magicAt] = magic
	be.PutUint16(dst[21:], uint16(h.Attributes))
	be.PutUint32(dst[23:], uint32(h.Count-1))
	be.PutUint64(dst[27:], uint64(h.FirstTimestamp))
	be.PutUint64(dst[35:], uint64(h.MaxTimestamp))
	be.PutUint64(dst[43:], uint64(h.Identity.ID))
	be.PutUint16(dst[51:], uint16(h.Identity.Epoch))
	be.PutUint32(dst[53:], uint32(h.Base))
	be.PutUint32(dst[57:], uint32(h.Count))
	be.PutUint32(dst[17:], crc32.Checksum(dst[crcStart:], castagnoli))
}

// NextBatchHeader reads the header of the first batch of log, which is what a
// Fetch brought: size is the length of the whole batch, rest what follows it.
// The end of log is io.EOF; a last batch that is cut off, as brokers do, is
// io.ErrUnexpectedEOF. The checksum is VerifyBatch's to check.
func NextBatchHeader(log []byte) (h BatchHeader, size int, rest []byte, err error) {
	if len(log) == 0 {
		return BatchHeader{}, 0, nil, io.EOF
	}
	if len(log) <= magicAt {
		return BatchHeader{}, 0, nil, io.ErrUnexpectedEOF
	}
	be := binary.BigEndian
	if log[magicAt] != magic {
		return BatchHeader{}, 0, nil, fmt.Errorf("%w: message format %d at offset %d, only 2 is known (Kafka 0.11 and newer)",
			ErrBatch, log[magicAt], int64(be.Uint64(log)))
	}
	length := int64(int32(be.Uint32(log[8:])))
	if length < BatchHeaderSize-lengthEnd {
		return BatchHeader{}, 0, nil, fmt.Errorf("%w: length %d at offset %d", ErrBatch, length, int64(be.Uint64(log)))
	}
	if lengthEnd+length > int64(len(log)) {
		return BatchHeader{}, 0, nil, io.ErrUnexpectedEOF
	}
	size = int(lengthEnd + length)
	h = BatchHeader{
		BaseOffset:      Offset(be.Uint64(log)),
		LeaderEpoch:     int32(be.Uint32(log[12:])),
		Attributes:      Attributes(be.Uint16(log[21:])),
		LastOffsetDelta: int32(be.Uint32(log[23:])),
		FirstTimestamp:  int64(be.Uint64(log[27:])),
		MaxTimestamp:    int64(be.Uint64(log[35:])),
		Identity:        ProducerIdentity{ProducerID(be.Uint64(log[43:])), ProducerEpoch(be.Uint16(log[51:]))},
		Base:            Sequence(be.Uint32(log[53:])),
		Count:           int32(be.Uint32(log[57:])),
	}
	if h.BaseOffset < 0 || h.Count < 0 || h.LastOffsetDelta < 0 || int64(h.Count) > int64(h.LastOffsetDelta)+1 {
		return BatchHeader{}, 0, nil, fmt.Errorf("%w: base offset %d, %d records, last offset delta %d",
			ErrBatch, h.BaseOffset, h.Count, h.LastOffsetDelta)
	}
	return h, size, log[size:], nil
}

// VerifyBatch checks one whole batch by other code than wrote it: length, magic,
// CRC-32C, and, unless it is compressed, that its records decode, are as many
// as the header says, with rising offsets inside it, and nothing left over.
func VerifyBatch(batch []byte) error {
	h, size, rest, err := NextBatchHeader(batch)
	if err != nil {
		return fmt.Errorf("verify batch of %d bytes: %w", len(batch), err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes after a batch of %d", ErrBatch, len(rest), size)
	}
	want := binary.BigEndian.Uint32(batch[17:])
	if got := crc32.Checksum(batch[crcStart:], castagnoli); got != want {
		return fmt.Errorf("%w: CRC-32C is %08x, the header says %08x", ErrBatch, got, want)
	}
	if h.Attributes.Codec() != CodecNone {
		return nil
	}
	return VerifyRecords(h, batch[BatchHeaderSize:])
}

// VerifyRecords checks the records of a batch, not compressed, against its header.
func VerifyRecords(h BatchHeader, records []byte) error {
	previous := int32(-1)
	for i := range h.Count {
		r, rest, err := NextRecord(records)
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i, h.Count, err)
		}
		if r.OffsetDelta <= previous || r.OffsetDelta > h.LastOffsetDelta {
			return fmt.Errorf("%w: record %d has offset delta %d after %d, the last of the batch is %d",
				ErrBatch, i, r.OffsetDelta, previous, h.LastOffsetDelta)
		}
		previous, records = r.OffsetDelta, rest
	}
	if len(records) != 0 {
		return fmt.Errorf("%w: %d bytes after its %d records", ErrBatch, len(records), h.Count)
	}
	return nil
}
