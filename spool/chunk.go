package spool

import (
	"encoding/binary"
	"math/bits"
)

// chunkBytes is the size of a chunk's bits.
const chunkBytes = chunkBits / 8

// allOfChunk stands on disk for a chunk in which every index is.
const allOfChunk = 1

// encode is a chunk that is not empty: a list of two bytes each, or bits where that is smaller, or one byte if all are in it.
func (c *chunk) encode() []byte { return c.append(nil) }

// append appends what encode gives.
func (c *chunk) append(b []byte) []byte {
	n := 0
	for _, w := range c {
		n += bits.OnesCount64(w)
	}
	switch {
	case n == chunkBits:
		return append(b, allOfChunk)
	case 2*n < chunkBytes:
		c.each(func(offset uint16) { b = binary.LittleEndian.AppendUint16(b, offset) })
	default:
		for _, w := range c {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	return b
}

// decodeChunk reads what encode made.
func decodeChunk(b []byte) (c chunk, ok bool) {
	switch {
	case len(b) == 1 && b[0] == allOfChunk:
		for i := range c {
			c[i] = ^uint64(0)
		}
	case len(b) == chunkBytes:
		for i := range c {
			c[i] = binary.LittleEndian.Uint64(b[i*8:])
		}
	case len(b)%2 != 0 || len(b) == 0 || len(b) > chunkBytes:
		return c, false
	default:
		last := -1
		for ; len(b) > 0; b = b[2:] {
			at := int(binary.LittleEndian.Uint16(b))
			if at <= last || at >= chunkBits {
				return c, false
			}
			last = at
			c[at/64] |= 1 << (at % 64)
		}
	}
	return c, c != (chunk{})
}
