package bolt

import (
	"time"

	"github.com/spoold/spoold/spool"
)

// A segment that a few stuck records keep alive is rewritten: what is left of it goes into the
// block of a later commit, under the same indexes, and that commit takes it off the list.

const (
	rewriteBytes        = 1 << 20 // about so much may be left
	defaultRewriteAfter = 5 * time.Second
)

// rewrite is what is left of a segment.
type rewrite struct {
	segment  uint64
	sections []spool.BlockSection // Off and Len in bytes
	bytes    []byte
}

// stuck is how much was left of a segment, and since when it did not change.
type stuck struct {
	pending int
	since   time.Time
}

// tend looks after each commit whether there is room, and whether an old
// segment is to be rewritten.
func (s *Store) tend(rotated bool) {
	s.checkSpace(rotated)
	if len(s.sealed) == 0 {
		return
	}
	now := time.Now()
	for _, x := range s.sealed {
		was := s.timing.stuckSince[x.info.Number]
		if was.pending != x.pending || was.since.IsZero() {
			s.timing.stuckSince[x.info.Number] = stuck{x.pending, now}
			continue
		}
		if now.Sub(was.since) >= s.opt.RewriteAfter && x.nearlyEmpty() {
			s.startRewrite(x)
			return
		}
	}
}

// nearlyEmpty guesses from the share of entries that are left. Committer only.
func (x *sealed) nearlyEmpty() bool {
	if x.unreadable.Load() {
		return false
	}
	total := 0
	for _, e := range x.info.Extents {
		total += e.Len()
	}
	return x.pending > 0 && total > 0 && float64(x.info.Bytes)*float64(x.pending)/float64(total) <= rewriteBytes && x.pending <= total/4
}

// startRewrite reads what is left, in the background.
func (s *Store) startRewrite(x *sealed) {
	s.mu.Lock()
	refuse := s.full != nil || s.closing || s.rewritten != nil
	s.mu.Unlock()
	if refuse {
		return
	}
	delete(s.timing.stuckSince, x.info.Number) // not again before it has waited as long
	s.background(func() {
		rw, err := s.readRemains(x)
		if err != nil {
			x.unreadable.Store(true) // the reader will meet it and tell
			return
		}
		if len(rw.bytes) > 2*rewriteBytes {
			return
		}
		s.mu.Lock()
		s.rewritten = rw
		s.mu.Unlock()
	})
}

// readRemains copies the entries that have not left, a section for each extent: what is
// between two extents of a lane may be in another segment.
func (s *Store) readRemains(x *sealed) (*rewrite, error) {
	rw := &rewrite{segment: x.info.Number}
	var buf []byte
	for _, e := range x.info.Extents {
		sect := spool.BlockSection{Lane: e.Lane, Off: len(rw.bytes)}
		for at := e.First; at < e.End; {
			sections, next, b, err := s.Read(e.Lane, at, rewriteBytes, buf)
			if err != nil {
				return nil, err
			}
			buf = b
			s.view.RLock()
			settled := s.state.Settled(e.Lane)
			for i := range sections {
				err = eachEntry(&sections[i], func(index spool.Index, raw []byte) {
					if index < at || index >= e.End || settled.Contains(index) {
						return
					}
					rw.bytes = append(rw.bytes, raw...)
					sect.Spans = addIndex(sect.Spans, index)
				})
				if err != nil {
					break
				}
			}
			s.view.RUnlock()
			if err != nil {
				return nil, err
			}
			if len(sections) == 0 || len(rw.bytes) > 2*rewriteBytes {
				break
			}
			at = next
		}
		if sect.Len = len(rw.bytes) - sect.Off; len(sect.Spans) > 0 {
			rw.sections = append(rw.sections, sect)
		}
	}
	return rw, nil
}

func addIndex(spans []spool.Span, i spool.Index) []spool.Span {
	if n := len(spans); n > 0 && spans[n-1].End == i {
		spans[n-1].End++
		return spans
	}
	return append(spans, spool.Span{First: i, End: i + 1})
}

// addTo makes a block of a group's sections and of what is carried.
func (rw *rewrite) addTo(t *transaction, g *group) {
	b := append(g.joined[:0], make([]byte, spool.BlockHeader)...)
	for _, sect := range g.sections {
		t.sections = append(t.sections, sect.describe(len(b)))
		b = append(b, sect.buf[spool.BlockHeader:]...)
	}
	for _, sect := range rw.sections {
		from := sect.Off
		sect.Off = len(b)
		b = append(b, rw.bytes[from:from+sect.Len]...)
		t.sections = append(t.sections, sect)
	}
	if len(t.sections) == 0 {
		return
	}
	t.block = spool.SealBlock(b, t.number, t.sections)
	g.joined = t.block
}
