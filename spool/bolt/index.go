package bolt

import (
	"maps"
	"slices"
	"sort"

	"github.com/spoold/spoold/spool"
)

// index says where the entries of one segment are. Its size is bounded by the
// segment's: a block takes a page at least.
type index struct {
	lanes  map[spool.LaneID]*laneIndex
	bytes  int64 // pages of live blocks
	staged stagedBlocks
}

type block struct {
	number uint64
	offset int64 // in the file; not of the active segment, whose pages move
	size   int
	crc    uint32
	live   int // sections with entries that have not left
	staged bool
}

// name is the block's name in its file.
func (b *block) name() []byte {
	if b.staged {
		return stagedName(b.number)
	}
	return blockName(b.number)
}

type laneIndex struct {
	refs  []ref // ascending, not overlapping
	dead  int
	bytes int64 // of entries in sections that are not dead
}

// ref is one section of one block.
type ref struct {
	block *block
	span  spool.Span   // from the first entry to the last
	spans []spool.Span // its entries, if they are not all of span
	off   int          // of its entries in the block
	len   int
	crc   uint32
	dead  bool // all of it has left
}

func newIndex() *index {
	return &index{lanes: make(map[spool.LaneID]*laneIndex), staged: make(stagedBlocks)}
}

// add puts a block in.
func (x *index) add(number uint64, offset int64, size int, crc uint32, sections []spool.BlockSection) {
	x.bytes += pagesOf(size)
	x.addSections(&block{number: number, offset: offset, size: size, crc: crc, live: len(sections)}, sections)
}

// addSections puts a block's sections in.
func (x *index) addSections(b *block, sections []spool.BlockSection) {
	for i := range sections {
		s := &sections[i]
		r := ref{block: b, span: spool.Span{First: s.Spans[0].First, End: s.Spans[len(s.Spans)-1].End}, off: s.Off, len: s.Len, crc: s.CRC}
		if len(s.Spans) > 1 {
			r.spans = slices.Clone(s.Spans)
		}
		l := x.lanes[s.Lane]
		if l == nil {
			l = new(laneIndex)
			x.lanes[s.Lane] = l
		}
		at := len(l.refs)
		if at > 0 && l.refs[at-1].span.First > r.span.First {
			at = l.search(r.span.First) // rewritten entries come late
		}
		l.refs = slices.Insert(l.refs, at, r)
		l.bytes += int64(r.len)
	}
}

// search is the first ref that ends above i.
func (l *laneIndex) search(i spool.Index) int {
	return sort.Search(len(l.refs), func(k int) bool { return l.refs[k].span.End > i })
}

// settle looks which sections under sp have left, and gives the blocks that
// have nothing else.
func (x *index) settle(lane spool.LaneID, sp spool.Span, settled spool.Gone, gone []*block) []*block {
	l := x.lanes[lane]
	if l == nil {
		return gone
	}
	for i := l.search(sp.First); i < len(l.refs) && l.refs[i].span.First < sp.End; i++ {
		r := &l.refs[i]
		if r.dead || !r.left(settled) {
			continue
		}
		r.dead = true
		l.dead++
		l.bytes -= int64(r.len)
		if r.block.live--; r.block.live == 0 {
			gone = append(gone, r.block)
			x.bytes -= pagesOf(r.block.size)
		}
	}
	if l.dead > 64 && l.dead > len(l.refs)/2 || l.dead == len(l.refs) {
		l.refs = slices.DeleteFunc(l.refs, func(r ref) bool { return r.dead })
		l.dead = 0
	}
	return gone
}

// sweep gives the blocks all of whose entries have left without a call of settle.
func (x *index) sweep(state *spool.State) []*block {
	var gone []*block
	for _, id := range slices.Sorted(maps.Keys(x.lanes)) {
		if l := x.lanes[id]; len(l.refs) > 0 {
			gone = x.settle(id, spool.Span{First: l.refs[0].span.First, End: l.refs[len(l.refs)-1].span.End}, state.Gone(id), gone)
		}
	}
	return gone
}

func (r *ref) left(settled spool.Gone) bool {
	return settled.Contains(r.span.First) && settled.CountIn(r.span) == r.span.Len()
}

// extents say which ranges of which lanes are here: those of live sections,
// neighbours joined.
func (x *index) extents() []spool.Extent {
	var out []spool.Extent
	for _, id := range slices.Sorted(maps.Keys(x.lanes)) {
		for i := range x.lanes[id].refs {
			r := &x.lanes[id].refs[i]
			if r.dead {
				continue
			}
			if n := len(out); n > 0 && out[n-1].Lane == id && out[n-1].End == r.span.First {
				out[n-1].End = r.span.End
				continue
			}
			out = append(out, spool.Extent{Lane: id, Span: r.span})
		}
	}
	return out
}
