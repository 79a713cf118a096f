package program

import "math"

// Program is what is left of one. The zero value is at its end.
type Program struct{ rest []byte }

// New begins to read b, which must not be changed meanwhile.
func New(b []byte) *Program { return &Program{b} }

// More reports whether there is anything left to decide.
func (p *Program) More() bool { return len(p.rest) > 0 }

// Rest is what was not read yet.
func (p *Program) Rest() []byte { return p.rest }

// Byte is the next byte, or 0 at the end.
func (p *Program) Byte() byte {
	if len(p.rest) == 0 {
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

// Yes is one decision of two.
func (p *Program) Yes() bool { return p.Byte()&1 == 1 }

// Below is a number in [0, n), and 0 if n is not positive. It takes one byte if that is
// enough for n, else two, else four.
func (p *Program) Below(n int) int {
	switch {
	case n <= 1:
		return 0
	case n <= 1<<8:
		return int(p.Byte()) % n
	case n <= 1<<16:
		return int(p.word(2)) % n
	}
	return int(p.word(4) % uint64(n))
}

// edges are numbers at which arithmetic breaks.
var edges = [...]int64{
	0, 1, -1, math.MaxInt8, math.MaxInt16, math.MaxInt32, math.MaxInt32 - 1, math.MinInt32,
	math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, 1 << 40, -1 << 40, 1<<53 + 1, 63, 64,
}

// Int64 is any number: a small one, one at which arithmetic breaks, or any at all.
func (p *Program) Int64() int64 {
	switch b := p.Byte(); {
	case b < 128:
		return int64(b)
	case b < 192:
		return edges[b%16] + int64(b/16%4) - 1
	case b < 224:
		return int64(int16(p.word(2)))
	}
	return int64(p.word(8))
}

// Int32 is Int64 cut to 32 bits.
func (p *Program) Int32() int32 { return int32(p.Int64()) }

// Bytes is null, empty, or up to most bytes: the program's own, or one of them repeated.
func (p *Program) Bytes(most int) []byte {
	switch n := p.Byte(); {
	case n == 0:
		return nil
	case n == 1:
		return []byte{}
	case n < 200 || most < 256:
		b := make([]byte, min(int(n)-1, most))
		p.rest = p.rest[copy(b, p.rest):]
		return b
	default:
		b := make([]byte, p.Below(most+1))
		fill := p.Byte()
		for i := range b {
			b[i] = fill
		}
		return b
	}
}

func (p *Program) word(n int) uint64 {
	var v uint64
	for range n {
		v = v<<8 | uint64(p.Byte())
	}
	return v
}
