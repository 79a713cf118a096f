package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A block on disk is what one commit made durable. FORMAT.md has the picture:
//
//	header     "SPB", version, number of records (4 bytes)
//	sections   entries of one lane each, one section after the other
//	directory  per section: lane, spans, bytes, CRC-32C of the bytes
//	footer     length of the directory, number of sections, CRC-32C
//
// The directory stands behind the sections, so that a group of one topic is
// a block where its entries already are: nothing is moved to make it one.

// BlockHeader is the room to leave in front of a block's first section.
const BlockHeader = 8

const (
	blockFooter  = 12
	blockVersion = 1
	blockMagic   = "SPB"
	stagedMagic  = "SPU" // the directory begins with the unit's number; see staged.go
)

// MaxBlock is the largest block that is written or read.
const MaxBlock = 1 << 30

var errBlock = errors.New("damaged block")

// BlockSection is one lane's part of a block.
type BlockSection struct {
	Lane  LaneID
	Spans []Span // ascending, not overlapping; more than one after a rewrite
	Off   int    // where its entries are in the block
	Len   int
	CRC   uint32 // of the entries' bytes
	// Unit is not 0: the section is staged. Lane is the number of its topic in the unit, and Spans count from the
	// unit's first entry there.
	Unit uint64
}

// Count is how many entries the section holds.
func (s *BlockSection) Count() int {
	n := 0
	for _, sp := range s.Spans {
		n += sp.Len()
	}
	return n
}

// SealBlock makes a block of b, in which BlockHeader bytes and then the
// sections' entries stand. Sections must be given in the order they stand in, with Off, Len
// and Spans; their CRC is filled in. The result may share b's memory.
func SealBlock(b []byte, number uint64, sections []BlockSection) []byte {
	records := 0
	for i := range sections {
		records += sections[i].Count()
	}
	unit := uint64(0)
	if len(sections) > 0 {
		unit = sections[0].Unit
	}
	copy(b, blockMagic)
	if unit != 0 {
		copy(b, stagedMagic)
	}
	b[3] = blockVersion
	binary.LittleEndian.PutUint32(b[4:], uint32(records))
	body := len(b)
	e := enc{b}
	if unit != 0 {
		e.u64(unit)
	}
	for i := range sections {
		s := &sections[i]
		s.CRC = CRC(e.b[s.Off : s.Off+s.Len])
		e.u64(uint64(s.Lane))
		e.spans(s.Spans)
		e.u64(uint64(s.Len))
		e.fix32(s.CRC)
	}
	e.fix32(uint32(len(e.b) - body))
	e.fix32(uint32(len(sections)))
	e.fix32(blockCRC(number, e.b[:BlockHeader], e.b[body:]))
	return e.b
}

// blockCRC covers the block's number, so that a block under a wrong name is
// noticed, its header, and everything behind the sections but the CRC itself.
func blockCRC(number uint64, header, tail []byte) uint32 {
	var name [8]byte
	binary.BigEndian.PutUint64(name[:], number)
	return update(update(CRC(name[:]), header), tail)
}

// BlockDirectory reads a block's directory. It does not look at the entries:
// see BlockSection.Check.
func BlockDirectory(b []byte, number uint64) ([]BlockSection, error) {
	if len(b) < BlockHeader+blockFooter {
		return nil, fmt.Errorf("%w: %d bytes are too few", errBlock, len(b))
	}
	tailLen := int(binary.LittleEndian.Uint32(b[len(b)-blockFooter:]))
	if tailLen > len(b)-BlockHeader-blockFooter {
		return nil, fmt.Errorf("%w: directory of %d bytes in a block of %d", errBlock, tailLen, len(b))
	}
	return ParseBlockDirectory(b[:BlockHeader], b[len(b)-blockFooter-tailLen:], len(b), number)
}

// BlockTail finds from a block's last bytes (at least 12) how many bytes
// the directory and the footer take together.
func BlockTail(end []byte) int {
	if len(end) < blockFooter {
		return 0
	}
	return int(binary.LittleEndian.Uint32(end[len(end)-blockFooter:])) + blockFooter
}

// ParseBlockDirectory is BlockDirectory for one who has read only the block's
// header and its tail (see BlockTail), but not the entries. size is that of the block.
func ParseBlockDirectory(header, tail []byte, size int, number uint64) ([]BlockSection, error) {
	if len(header) != BlockHeader || string(header[:3]) != blockMagic && string(header[:3]) != stagedMagic {
		return nil, fmt.Errorf("%w: it does not begin like one", errBlock)
	}
	if header[3] != blockVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", errBlock, header[3], blockVersion)
	}
	if len(tail) < blockFooter {
		return nil, fmt.Errorf("%w: footer cut short", errBlock)
	}
	footer := tail[len(tail)-blockFooter:]
	if got, want := blockCRC(number, header, tail[:len(tail)-4]), binary.LittleEndian.Uint32(footer[8:]); got != want {
		return nil, fmt.Errorf("%w: checksum of the directory", errBlock)
	}
	d := dec{b: tail[:len(tail)-blockFooter], what: "block directory"}
	count := int(binary.LittleEndian.Uint32(footer[4:]))
	if count > len(d.b) {
		return nil, fmt.Errorf("%w: %d sections", errBlock, count)
	}
	unit := uint64(0)
	if string(header[:3]) == stagedMagic {
		if unit = d.u64(); unit == 0 {
			d.fail()
		}
	}
	sections := make([]BlockSection, 0, count)
	off, records := BlockHeader, 0
	for range count {
		s := BlockSection{Lane: LaneID(d.upTo(1<<32 - 1)), Spans: d.spans(), Off: off, Unit: unit}
		s.Len = int(d.upTo(uint64(max(size-off, 0))))
		s.CRC = d.fix32()
		if len(s.Spans) == 0 {
			d.fail()
		}
		off += s.Len
		records += s.Count()
		sections = append(sections, s)
	}
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	if off+len(tail) != size || records != int(binary.LittleEndian.Uint32(header[4:])) {
		return nil, fmt.Errorf("%w: %d bytes and %d records do not add up", errBlock, size, records)
	}
	return sections, nil
}

// Check compares entries with the section's checksum.
func (s *BlockSection) Check(entries []byte) error {
	if len(entries) != s.Len || CRC(entries) != s.CRC {
		return fmt.Errorf("%w: checksum of lane %d's entries %v", errBlock, s.Lane, s.Spans)
	}
	return nil
}
