package spool

import (
	"encoding/binary"
	"fmt"
)

// chunkBytes is the size of a chunk of a Set on disk.
const chunkBytes = chunkBits / 8

// appendChunk appends the bits of one chunk, or reports that there are none.
func (s *Set) appendChunk(dst []byte, key uint64) ([]byte, bool) {
	c := s.chunks[key]
	if c == nil {
		return dst, false
	}
	for _, w := range c {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst, true
}

// loadChunk puts in what appendChunk wrote. Only chunks that a Set would have
// itself are accepted: with a bit above low, and none below it or at it.
func (s *Set) loadChunk(key uint64, b []byte, end Index) error {
	if len(b) != chunkBytes {
		return fmt.Errorf("%w: chunk %d of a set has %d bytes", errValue, key, len(b))
	}
	var c chunk
	for i := range c {
		c[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	if c == (chunk{}) || key > uint64(end)>>chunkShift {
		return fmt.Errorf("%w: chunk %d of a set is empty or out of range", errValue, key)
	}
	s.put(key, &c)
	first, last := Index(key<<chunkShift), Index((key+1)<<chunkShift)
	if s.low >= first && s.count(Span{first, min(s.low+1, last)}) != 0 || last > end && s.count(Span{max(end, first), last}) != 0 {
		return fmt.Errorf("%w: chunk %d of a set has bits outside (%d,%d)", errValue, key, s.low, end)
	}
	return nil
}

// dirtyChunks adds the chunks that Add(sp) may change to set.
func dirtyChunks(set map[uint64]struct{}, sp Span) {
	for k := uint64(sp.First) >> chunkShift; k <= uint64(sp.End-1)>>chunkShift; k++ {
		set[k] = struct{}{}
	}
}
