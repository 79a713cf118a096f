package spool

import "fmt"

// appendChunk appends one chunk as chunk.encode writes it, or reports that there is none.
func (s *Set) appendChunk(dst []byte, key uint64) ([]byte, bool) {
	c := s.chunks[key]
	if c == nil {
		return dst, false
	}
	return c.append(dst), true
}

// loadChunk puts in what appendChunk wrote. Only chunks that a Set would have
// itself are accepted: with a bit above low, and none below it or at it.
func (s *Set) loadChunk(key uint64, b []byte, end Index) error {
	c, ok := decodeChunk(b)
	if !ok || key > uint64(end)>>chunkShift {
		return fmt.Errorf("%w: chunk %d of a set of %d bytes is empty or out of range", errValue, key, len(b))
	}
	if c == *full {
		s.put(key, full)
	} else {
		s.put(key, &c)
	}
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
