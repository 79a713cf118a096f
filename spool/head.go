package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FormatVersion is what this program writes, and the newest that it reads. Version 2 added units, the transactional id, and
// dead letters that stay in their blocks; version 3 what was lost, gaps, and what became of entries that were not delivered; version 4 since when entries wait;
// version 5 chunks of settled indexes as lists, or as one byte; version 6 where a decided transaction ends in each partition.
const FormatVersion = 6

// oldestVersion is the oldest format that this program reads.
const oldestVersion = 1

// Head is written with every commit. It says what must be found beside it.
type Head struct {
	Segment  uint64 // the file it is in: a file under another's name is noticed
	Block    uint64 // number of the commit
	Age      int64  // spool clock, ms
	BootTime int64  // CLOCK_BOOTTIME of that moment, ms
	Boot     [16]byte
	Pairs    uint64 // of the state
	PairSum  Sum
	Blocks   uint64 // of records, in this segment
	BlockSum Sum    // over names and CRCs
	Keys     uint64 // blocks of idempotency keys, in this segment
	KeySum   Sum
}

// ErrFormatVersion means that a newer program wrote the spool.
var ErrFormatVersion = errors.New("newer format")

// AppendHead encodes h.
func AppendHead(dst []byte, h *Head) []byte {
	start := len(dst)
	e := enc{append(dst, 'S', 'P', 'H', FormatVersion)}
	for _, v := range []uint64{h.Segment, h.Block, uint64(h.Age), uint64(h.BootTime), h.Pairs, uint64(h.PairSum), h.Blocks, uint64(h.BlockSum), h.Keys, uint64(h.KeySum)} {
		e.fix64(v)
	}
	e.raw(h.Boot[:])
	e.fix32(CRC(e.b[start:]))
	return e.b
}

// DecodeHead reads what AppendHead wrote.
func DecodeHead(b []byte) (Head, error) {
	var h Head
	if len(b) < 8 || string(b[:3]) != "SPH" {
		return h, fmt.Errorf("%w: head", errValue)
	}
	if CRC(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return h, fmt.Errorf("%w: checksum of the head", errValue)
	}
	if b[3] < oldestVersion || b[3] > FormatVersion {
		return h, fmt.Errorf("%w: the spool has version %d, this program reads %d to %d", ErrFormatVersion, b[3], oldestVersion, FormatVersion)
	}
	d := dec{b: b[4 : len(b)-4], what: "head"}
	h = Head{
		Segment: d.fix64(), Block: d.fix64(), Age: int64(d.fix64()), BootTime: int64(d.fix64()), Pairs: d.fix64(), PairSum: Sum(d.fix64()),
		Blocks: d.fix64(), BlockSum: Sum(d.fix64()), Keys: d.fix64(), KeySum: Sum(d.fix64()),
	}
	copy(h.Boot[:], d.raw(len(h.Boot)))
	return h, d.done()
}
