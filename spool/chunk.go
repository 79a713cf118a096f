package spool

import "encoding/binary"

// allOfChunk stands on disk for a chunk in which every index is.
const allOfChunk = 1

// encode is a chunk that is not empty: a list of two bytes each, or bits where that is smaller, or one byte if all are in it.
func (c *chunk) encode() []byte {
	var b []byte
	c.each(func(offset uint16) { b = binary.LittleEndian.AppendUint16(b, offset) })
	if len(b) == 2*chunkBits {
		return []byte{allOfChunk}
	}
	if len(b) >= chunkBytes {
		b = b[:0]
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
