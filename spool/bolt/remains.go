package bolt

import (
	"fmt"

	"github.com/spoold/spoold/spool"
)

// measure adds up what the entries of a segment take that have not left. It stops when that is more than half of the file.
func (s *rewriter) measure(x *sealed) (held int64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.load(); err != nil {
		return 0, err
	}
	var buf []byte
	for _, e := range x.info.Extents {
		l := x.index.lanes[e.Lane]
		if l == nil {
			continue
		}
		for i := l.search(e.First); i < len(l.refs) && l.refs[i].span.First < e.End && 2*held <= x.bytes; i++ {
			r := &l.refs[i]
			var pending int64
			if pending, buf, err = s.pendingBytes(x, e, r, buf); err != nil {
				return 0, err
			}
			held += pending
		}
	}
	return held, nil
}

// pendingBytes is what the entries of one section take that are needed. Only a section of which a part is is read. Under x.mu.
func (s *rewriter) pendingBytes(x *sealed, e spool.Extent, r *ref, buf []byte) (int64, []byte, error) {
	s.view.RLock()
	left := s.state.Gone(e.Lane).CountIn(r.span)
	s.view.RUnlock()
	switch {
	case left == r.span.Len():
		return 0, buf, nil
	case left == 0 && r.spans == nil && r.span.First >= e.First && r.span.End <= e.End:
		return int64(r.len), buf, nil
	}
	n := int64(0)
	buf, err := s.needed(x, e, r, buf, func(_ spool.Index, raw []byte) { n += int64(len(raw)) })
	return n, buf, err
}

// needed reads a section of a segment, and calls yield with the entries of an extent that are needed. Under x.mu.
func (s *rewriter) needed(x *sealed, e spool.Extent, r *ref, buf []byte, yield func(spool.Index, []byte)) ([]byte, error) {
	if cap(buf) < r.len {
		buf = make([]byte, r.len)
	}
	sect := spool.Section{Lane: e.Lane, Spans: r.spans, Bytes: buf[:r.len]}
	if sect.Spans == nil {
		sect.Spans = []spool.Span{r.span}
	}
	if _, err := x.file.ReadAt(sect.Bytes, r.block.offset+int64(r.off)); err != nil {
		return buf, fmt.Errorf("read block %d of segment %d: %w", r.block.number, x.info.Number, err)
	}
	if spool.CRC(sect.Bytes) != r.crc {
		return buf, corrupt(x.info.Number, r.block.number, "checksum of lane %d's entries %v", e.Lane, r.span)
	}
	s.view.RLock()
	defer s.view.RUnlock()
	gone := s.state.Gone(e.Lane)
	return buf, eachEntry(&sect, func(i spool.Index, raw []byte) {
		if i >= e.First && i < e.End && !gone.Contains(i) {
			yield(i, raw)
		}
	})
}

// readRemains copies entries that are needed, about most bytes, a section for each extent: what is
// between two extents of a lane may be in another segment.
func (s *rewriter) readRemains(x *sealed, most int) (*rewrite, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.load(); err != nil {
		return nil, err
	}
	rw := &rewrite{from: x}
	s.view.RLock()
	extents := x.info.Extents
	s.view.RUnlock()
	var buf []byte
	var err error
	for i, e := range extents {
		if len(rw.bytes) >= most {
			rw.rest = append(rw.rest, extents[i:]...)
			break
		}
		if buf, err = s.readExtent(rw, e, most, buf); err != nil {
			return nil, err
		}
	}
	return rw, nil
}

// left reports whether no entry of an extent is needed.
func (s *rewriter) left(e spool.Extent) bool {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.state.Gone(e.Lane).CountIn(e.Span) == e.Len()
}

// readExtent is readRemains for one extent.
func (s *rewriter) readExtent(rw *rewrite, e spool.Extent, most int, buf []byte) (_ []byte, err error) {
	x := rw.from
	l := x.index.lanes[e.Lane]
	if l == nil && s.left(e) {
		return buf, nil // of a staged unit that has left
	}
	if l == nil {
		return buf, corrupt(x.info.Number, spool.NoBlock, "records %v of lane %d are missing", e.Span, e.Lane)
	}
	sect := spool.BlockSection{Lane: e.Lane, Off: len(rw.bytes)}
	for i := l.search(e.First); i < len(l.refs) && l.refs[i].span.First < e.End; i++ {
		r := &l.refs[i]
		if len(rw.bytes) >= most {
			rest := spool.Span{First: max(r.span.First, e.First), End: e.End}
			rw.rest = append(rw.rest, spool.Extent{Lane: e.Lane, Span: rest})
			break
		}
		s.view.RLock()
		left := r.left(s.state.Gone(e.Lane))
		s.view.RUnlock()
		if left {
			continue
		}
		buf, err = s.needed(x, e, r, buf, func(i spool.Index, raw []byte) {
			rw.bytes = append(rw.bytes, raw...)
			sect.Spans = addIndex(sect.Spans, i)
		})
		if err != nil {
			return buf, err
		}
	}
	if sect.Len = len(rw.bytes) - sect.Off; len(sect.Spans) > 0 {
		rw.sections = append(rw.sections, sect)
	}
	return buf, nil
}
