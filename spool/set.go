package spool

import (
	"maps"
	"math/bits"
	"slices"
)

// chunkBits is how many indexes one chunk of a Set covers: 4096, 512 bytes.
const (
	chunkShift = 12
	chunkBits  = 1 << chunkShift
	chunkWords = chunkBits / 64
)

type chunk [chunkWords]uint64

// full is the chunk in which every index is. All Sets share it, and none changes it.
var full = func() *chunk {
	c := new(chunk)
	for i := range c {
		c[i] = ^uint64(0)
	}
	return c
}()

// Set is a set of indexes of one lane that is dense from the bottom: everything
// below Low is in it, and above that, one bit per index where there is
// anything at all, but nothing for 4096 indexes in a row that are all in it. A stuck record costs a hundredth of a byte for each
// that passed it, and where others wait among them at most one bit.
// Not safe for concurrent use.
type Set struct {
	low    Index
	chunks map[uint64]*chunk // by index >> chunkShift; none of them wholly below low, none empty
}

// NewSet is the set of all indexes below low.
func NewSet(low Index) *Set { return &Set{low: low} }

// Low is the smallest index that is not in the set.
func (s *Set) Low() Index { return s.low }

// Contains reports whether i is in the set.
func (s *Set) Contains(i Index) bool {
	if i < s.low {
		return true
	}
	c := s.chunks[uint64(i)>>chunkShift]
	return c != nil && c[i%chunkBits/64]&(1<<(i%64)) != 0
}

// Add puts sp in and reports how many indexes were new.
func (s *Set) Add(sp Span) int {
	if sp.First < s.low {
		sp.First = s.low
	}
	if sp.First >= sp.End {
		return 0
	}
	added := 0
	if sp.First == s.low {
		// The common case, in order: no chunk is touched.
		added = sp.Len() - s.count(sp)
		s.dropBelow(sp.End)
		s.low = sp.End
		s.rise()
		return added
	}
	s.each(sp, true, func(c *chunk, word int, mask uint64) {
		added += bits.OnesCount64(mask &^ c[word])
		c[word] |= mask
	})
	return added
}

// Remove takes sp out. It is for sets that also shrink (what is taken into
// batches); what is settled only grows.
func (s *Set) Remove(sp Span) {
	if sp.First >= sp.End {
		return
	}
	if sp.First < s.low {
		// What was dense becomes bits again.
		old := s.low
		s.low = sp.First
		s.fill(Span{sp.First, old})
	}
	s.own(sp)
	s.eachThere(sp, func(c *chunk, word int, mask uint64) { c[word] &^= mask })
	s.prune(sp)
}

// NextAbsent is the smallest index at or above from that is not in the set.
func (s *Set) NextAbsent(from Index) Index {
	if from < s.low {
		from = s.low
	}
	for {
		c := s.chunks[uint64(from)>>chunkShift]
		if c == nil {
			return from
		}
		word := from % chunkBits / 64
		free := ^c[word] &^ (1<<(from%64) - 1)
		if free != 0 {
			return from&^63 + Index(bits.TrailingZeros64(free))
		}
		from = from&^63 + 64
	}
}

// CountIn is how many indexes of sp are in the set.
func (s *Set) CountIn(sp Span) int {
	if sp.First >= sp.End {
		return 0
	}
	n := 0
	if sp.First < s.low {
		end := min(sp.End, s.low)
		n = int(end - sp.First)
		sp.First = end
	}
	return n + s.count(sp)
}

// Spans calls yield with each run of indexes in the set, ascending.
func (s *Set) Spans(yield func(Span) bool) {
	if s.low > 0 && !yield(Span{0, s.low}) {
		return
	}
	var run Span
	for _, key := range s.keys() {
		c := s.chunks[key]
		base := Index(key << chunkShift)
		for i := Index(0); i < chunkBits; {
			if c[i/64]&(1<<(i%64)) == 0 {
				i++
				continue
			}
			j := i
			for j < chunkBits && c[j/64]&(1<<(j%64)) != 0 {
				j++
			}
			sp := Span{base + i, base + j}
			switch {
			case run.End == sp.First && run.End != 0:
				run.End = sp.End
			default:
				if run.End != 0 && !yield(run) {
					return
				}
				run = sp
			}
			i = j
		}
	}
	if run.End != 0 {
		yield(run)
	}
}

// Clone is a copy that shares nothing with s.
func (s *Set) Clone() *Set {
	d := &Set{low: s.low}
	for k, c := range s.chunks {
		if c != full {
			cc := *c
			c = &cc
		}
		d.put(k, c)
	}
	return d
}

// own gives the chunks under sp that are full memory of their own, so that they can be changed.
func (s *Set) own(sp Span) {
	copied := func(key uint64) {
		if s.chunks[key] == full {
			c := *full
			s.chunks[key] = &c
		}
	}
	first, last := uint64(sp.First)>>chunkShift, uint64(sp.End-1)>>chunkShift
	if last-first < uint64(len(s.chunks)) {
		for key := first; key <= last; key++ {
			copied(key)
		}
		return
	}
	for key := range s.chunks {
		if first <= key && key <= last {
			copied(key)
		}
	}
}

func (s *Set) keys() []uint64 {
	keys := make([]uint64, 0, len(s.chunks))
	for k := range s.chunks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *Set) put(key uint64, c *chunk) {
	if s.chunks == nil {
		s.chunks = make(map[uint64]*chunk)
	}
	s.chunks[key] = c
}

// each calls f for every word that sp touches. With create f puts indexes in: chunks are made, and those that are full are
// passed over. Else what is in no chunk is passed over.
func (s *Set) each(sp Span, create bool, f func(c *chunk, word int, mask uint64)) {
	for i := sp.First; i < sp.End; {
		key := uint64(i) >> chunkShift
		chunkEnd := min(Index(key+1)<<chunkShift, sp.End)
		c := s.chunks[key]
		if c == nil && create {
			c = new(chunk)
			s.put(key, c)
		}
		if c == nil || create && c == full {
			i = chunkEnd
			continue
		}
		for i < chunkEnd {
			next := min(i&^63+64, chunkEnd)
			mask := ^uint64(0) << (i % 64)
			if next%64 != 0 {
				mask &= 1<<(next%64) - 1
			}
			f(c, int(i%chunkBits/64), mask)
			i = next
		}
		if create && *c == *full {
			s.chunks[key] = full
		}
	}
}

func (s *Set) fill(sp Span) {
	s.each(sp, true, func(c *chunk, word int, mask uint64) { c[word] |= mask })
}

func (s *Set) count(sp Span) int {
	if len(s.chunks) == 0 {
		return 0
	}
	n := 0
	add := func(c *chunk, word int, mask uint64) { n += bits.OnesCount64(c[word] & mask) }
	s.eachThere(sp, add)
	return n
}

// eachThere is each without create, in no order: it also does well with a long
// span and few chunks.
func (s *Set) eachThere(sp Span, f func(c *chunk, word int, mask uint64)) {
	if uint64(sp.End-sp.First)>>chunkShift <= uint64(len(s.chunks)) {
		s.each(sp, false, f)
		return
	}
	for k := range s.chunks {
		s.each(Span{max(sp.First, Index(k)<<chunkShift), min(sp.End, Index(k+1)<<chunkShift)}, false, f)
	}
}

// dropBelow forgets the chunks that end at or below i.
func (s *Set) dropBelow(i Index) {
	first, end := uint64(s.low)>>chunkShift, uint64(i)>>chunkShift
	if end-first > uint64(len(s.chunks)) {
		maps.DeleteFunc(s.chunks, func(k uint64, _ *chunk) bool { return k < end })
		return
	}
	for k := first; k < end; k++ {
		delete(s.chunks, k)
	}
}

// rise moves low over what is in the set above it.
func (s *Set) rise() {
	if len(s.chunks) == 0 {
		return
	}
	next := s.NextAbsent(s.low)
	s.dropBelow(next)
	s.low = next
	key := uint64(next) >> chunkShift
	if c := s.chunks[key]; c != nil { // not full: next is not in it
		s.each(Span{Index(key << chunkShift), next}, false, func(c *chunk, word int, mask uint64) { c[word] &^= mask })
		if *c == (chunk{}) {
			delete(s.chunks, key)
		}
	}
}

// prune forgets chunks of sp that became empty.
func (s *Set) prune(sp Span) {
	first, last := uint64(sp.First)>>chunkShift, uint64(sp.End-1)>>chunkShift
	if last-first >= uint64(len(s.chunks)) {
		maps.DeleteFunc(s.chunks, func(_ uint64, c *chunk) bool { return *c == chunk{} })
		return
	}
	for k := first; k <= last; k++ {
		if c := s.chunks[k]; c != nil && *c == (chunk{}) {
			delete(s.chunks, k)
		}
	}
}
