package spool

import (
	"encoding/binary"
	"fmt"
)

// A unit is what is never divided: the records of a client's transaction, or of a batch. They were
// spooled by one commit, and are delivered inside one Kafka transaction. A unit of more than one
// record is written into the first of its entries in each lane:
//
//	uvarint   length of what follows
//	byte      kind (2 = first record of a unit)
//	8 bytes   timestamp, ms since 1970, little endian
//	varint    requested partition, zigzag
//	unit      runs: uvarint; then for each: lane, first index, count (uvarint)
//	rest      body
//
// So the unit goes wherever its entries go, under their checksum, and whoever reads any lane of it
// from its first entry has all of it. The unit's other entries are ordinary ones. All of a unit
// leaves the spool at the same moment, so the first that is left of a lane always begins a unit.

// KindUnit is the kind byte of a unit's first record in a lane.
const KindUnit = 2

// UnitRun is the run of a unit's entries in one lane.
type UnitRun struct {
	Lane  LaneID
	First Index
	Count int
}

// Span is the run as a span.
func (r UnitRun) Span() Span { return Span{r.First, r.First + Index(r.Count)} }

// MaxUnitRuns is how many topics the records of a unit may be for: each lane has the whole list.
const MaxUnitRuns = 256

// UnitSize is at most how many bytes the list of n runs takes in an entry.
func UnitSize(runs int) int { return 2 + runs*(5+10+5) }

// AppendUnitEntry is AppendEntry for the first of a unit's entries in a lane.
func AppendUnitEntry(dst []byte, unit []UnitRun, timestamp int64, partition int32, key, value []byte, headers []Header, bodySize int) []byte {
	list := appendUnit(make([]byte, 0, 64), unit)
	dst = binary.AppendUvarint(dst, uint64(1+8+varintSize(int64(partition))+len(list)+bodySize))
	dst = append(dst, KindUnit)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(timestamp))
	dst = binary.AppendVarint(dst, int64(partition))
	dst = append(dst, list...)
	return appendBody(dst, key, value, headers)
}

func appendUnit(dst []byte, unit []UnitRun) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(unit)))
	for _, r := range unit {
		dst = binary.AppendUvarint(dst, uint64(r.Lane))
		dst = binary.AppendUvarint(dst, uint64(r.First))
		dst = binary.AppendUvarint(dst, uint64(r.Count))
	}
	return dst
}

// skipUnit cuts the list of runs off b, which begins with it.
func skipUnit(b []byte) (unit, rest []byte, err error) {
	d := dec{b: b}
	for range d.upTo(MaxUnitRuns) {
		d.upTo(1<<32 - 1)
		d.upTo(maxNumber)
		d.upTo(1<<31 - 1)
	}
	if d.bad {
		return nil, nil, fmt.Errorf("%w: unit", errEntry)
	}
	return b[:len(b)-len(d.b)], d.b, nil
}

// Runs is the unit that the entry is the first of in its lane; nil: it is none, and the entry
// either stands alone or belongs to the unit that began before it.
func (e Entry) Runs() []UnitRun {
	if e.unit == nil {
		return nil
	}
	d := dec{b: e.unit}
	runs := make([]UnitRun, 0, 4)
	for range d.upTo(MaxUnitRuns) {
		runs = append(runs, UnitRun{LaneID(d.upTo(1<<32 - 1)), Index(d.upTo(maxNumber)), int(d.upTo(1<<31 - 1))})
	}
	return runs
}
