package spool

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/spoold/spoold/protocol"
)

// errValue is wrapped by every failure to read a value of the state.
var errValue = errors.New("damaged value")

// enc appends fields to a value: unsigned numbers as uvarint, signed as zigzag
// varint, strings with their length in front.
type enc struct{ b []byte }

// newEnc has room for most values: they are made once a commit, and grow without being moved.
func newEnc() enc { return enc{make([]byte, 0, 64)} }

func (e *enc) u64(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *enc) i64(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *enc) str(s string)   { e.u64(uint64(len(s))); e.b = append(e.b, s...) }
func (e *enc) raw(b []byte)   { e.b = append(e.b, b...) }
func (e *enc) byte(v byte)    { e.b = append(e.b, v) }
func (e *enc) fix32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *enc) fix64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }

func (e *enc) identity(id protocol.ProducerIdentity) {
	e.i64(int64(id.ID))
	e.i64(int64(id.Epoch))
}

// spans are gaps and lengths: ascending, not overlapping, none empty.
func (e *enc) spans(spans []Span) {
	e.u64(uint64(len(spans)))
	var at Index
	for _, sp := range spans {
		e.u64(uint64(sp.First - at))
		e.u64(uint64(sp.End - sp.First))
		at = sp.End
	}
}

// dec reads what enc wrote. After the first fault it stays at it and yields zeros.
type dec struct {
	b    []byte
	what string
	key  []byte // of the pair that it is of; nil: of none
	bad  bool
}

func (d *dec) name() string {
	if d.key == nil {
		return d.what
	}
	return fmt.Sprintf("%s %q", d.what, d.key)
}

func (d *dec) fail() { d.bad, d.b = true, nil }

func (d *dec) u64() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) i64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// upTo is an unsigned number that must not be above limit.
func (d *dec) upTo(limit uint64) uint64 {
	v := d.u64()
	if v > limit {
		d.fail()
		return 0
	}
	return v
}

func (d *dec) within(low, high int64) int64 {
	v := d.i64()
	if !d.bad && (v < low || v > high) {
		d.fail()
		return 0
	}
	return v
}

func (d *dec) i32() int32 { return int32(d.within(-1<<31, 1<<31-1)) }

func (d *dec) raw(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *dec) str() string {
	n := d.upTo(uint64(len(d.b)))
	return string(d.raw(int(n)))
}

func (d *dec) byte() byte {
	if b := d.raw(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *dec) fix32() uint32 {
	if b := d.raw(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *dec) fix64() uint64 {
	if b := d.raw(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *dec) identity() protocol.ProducerIdentity {
	id := d.within(-1, 1<<63-1)
	return protocol.ProducerIdentity{ID: protocol.ProducerID(id), Epoch: protocol.ProducerEpoch(d.within(-1, 1<<15-1))}
}

func (d *dec) spans() []Span {
	n := d.upTo(uint64(len(d.b)) / 2)
	if n == 0 {
		return nil
	}
	spans := make([]Span, 0, n)
	var at Index
	for range n {
		gap, size := d.u64(), d.u64()
		first := at + Index(gap)
		end := first + Index(size)
		if d.bad || first < at || end <= first || (at > 0 && gap == 0) {
			d.fail()
			return nil
		}
		spans = append(spans, Span{first, end})
		at = end
	}
	return spans
}

// done is the error of the first fault, or of bytes left over.
func (d *dec) done() error {
	if d.bad {
		return fmt.Errorf("%w: %s", errValue, d.name())
	}
	if len(d.b) != 0 {
		return fmt.Errorf("%w: %s has %d bytes left over", errValue, d.name(), len(d.b))
	}
	return nil
}

// joinSpans joins neighbours of ascending spans, so that what is written has one
// form only.
func joinSpans(spans []Span) []Span {
	out := make([]Span, 0, len(spans))
	for _, sp := range spans {
		if sp.First >= sp.End {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End == sp.First {
			out[n-1].End = sp.End
			continue
		}
		out = append(out, sp)
	}
	return out
}
