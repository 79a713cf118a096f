package bolt

import (
	"fmt"
	"slices"
	"time"

	"github.com/spoold/spoold/spool"
)

// A segment of which less than half is needed is rewritten: what is left of it goes, a part at a time, into the blocks of
// later commits, under the same indexes. Each of these commits says in the list of segments what remains in the file, and the last
// takes it off the list. So the files own at most twice what is held, and a constant: each rewriting frees at least
// twice what it writes.

const (
	rewriteStep         = 1 << 20   // is carried by one commit, about
	rewriteBeside       = 256 << 10 // beside traffic
	defaultRewriteAfter = 5 * time.Second
)

// rewrite is a part of what is left of a segment.
type rewrite struct {
	from     *sealed
	sections []spool.BlockSection // Off and Len in bytes
	bytes    []byte
	rest     []spool.Extent // what is left then; none: nothing
	former   []formerDead   // not nil: dead letters that the state kept, and no segment's remains
}

// upkeep is what the committer knows of a segment that may have to be rewritten.
type upkeep struct {
	pending int       // entries that had not left, when it was looked at last
	since   time.Time // how long that is so
	// held is what the entries that had not left took when they were measuredAt so many. They may have become fewer.
	held       int64
	measuredAt int // -1: not measured
}

// tend looks after each commit, and from time to time, whether there is room, and whether an old
// segment is to be rewritten. The error is one of the disk.
func (s *Store) tend(always bool) error {
	if err := s.checkSpace(always); err != nil {
		return err
	}
	s.takeMeasurements()
	s.mu.Lock()
	full, waits := s.full != nil, s.closing || s.rewritten != nil || s.rotateNow
	s.mu.Unlock()
	s.timing.lookAgain = 0
	if waits || s.timing.reading.Load() {
		return nil
	}
	quiet := time.Since(s.timing.busySince) >= s.opt.RewriteAfter
	if s.halfDead() {
		if s.next != nil && (full || quiet) {
			s.rotate()
			return nil //nolint:nilerr // a full spool is no failure of the disk
		}
		s.lookAgain()
	}
	if s.state.HasFormerDead() {
		return s.startMoveDead(full)
	}
	if x, measure := s.nextRewrite(full); measure {
		s.startMeasure(x)
	} else if x != nil {
		s.startRewrite(x, full, quiet)
	}
	return nil
}

// lookAgain: tend is to be called again, though there may be no commit.
func (s *Store) lookAgain() {
	if s.opt.RewriteAfter >= 0 {
		s.timing.lookAgain = max(s.opt.RewriteAfter, time.Millisecond)
	}
}

// rotate makes the next commit begin a new segment.
func (s *Store) rotate() {
	s.mu.Lock()
	s.rotateNow = true
	s.mu.Unlock()
}

// nextRewrite is the segment of which the smallest part is needed, if that is at most half of its file, as far as is known.
// It is to be measured first if it was not, or has become less.
func (s *Store) nextRewrite(full bool) (best *sealed, measure bool) {
	now := time.Now()
	var bestShare float64
	for _, x := range s.sealed {
		if x.pending != x.tend.pending || x.tend.since.IsZero() {
			x.tend.pending, x.tend.since = x.pending, now
			s.lookAgain()
			if !full {
				continue
			}
		}
		if x.pending == 0 || x.unreadable.Load() {
			continue
		}
		rests := now.Sub(x.tend.since) >= s.opt.RewriteAfter
		if !full && !rests {
			s.lookAgain()
			continue
		}
		m := x.tend.measuredAt
		stale := m < 0 && x.pending < x.entries() || x.pending < m && (rests || x.pending <= m-m/16)
		if !stale && (m < 0 || 2*x.tend.held > x.bytes) {
			continue // more than half of it is needed
		}
		if share := float64(x.heldBytes()) / float64(max(x.bytes, 1)); best == nil || share < bestShare {
			best, measure, bestShare = x, stale, share
		}
	}
	return best, measure
}

// entries is how many entries the list says are in the file.
func (x *sealed) entries() int {
	n := 0
	for _, e := range x.info.Extents {
		n += e.Len()
	}
	return n
}

// heldBytes guesses from counts what the entries that have not left take. Committer only.
func (x *sealed) heldBytes() int64 {
	bytes, entries := x.info.Bytes, x.entries()
	if x.tend.measuredAt >= 0 {
		bytes, entries = x.tend.held, x.tend.measuredAt
	}
	return int64(float64(bytes) * float64(x.pending) / float64(max(entries, 1)))
}

// startMeasure finds out in the background what is needed of a segment.
func (s *Store) startMeasure(x *sealed) {
	pending := x.pending
	s.inBackground(x, func() error {
		held, err := s.measure(x)
		if err == nil {
			s.mu.Lock()
			s.measurements = append(s.measurements, measurement{x, held, pending})
			s.mu.Unlock()
		}
		return err
	})
}

// startRewrite reads a part of what is left of a segment in the background.
func (s *Store) startRewrite(x *sealed, full, quiet bool) {
	step := rewriteBeside
	if full || quiet {
		step = rewriteStep
	}
	if step = min(step, int(x.tend.held)+1); !s.roomToCarry(int64(step), full) {
		return
	}
	s.inBackground(x, func() error {
		rw, err := s.readRemains(x, step)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.rewritten = rw
		s.mu.Unlock()
		return nil
	})
}

// inBackground reads of a segment in the background, one at a time.
func (s *Store) inBackground(x *sealed, read func() error) {
	s.timing.reading.Store(true)
	s.background(func() {
		if err := read(); err != nil && !shortage(err) {
			x.unreadable.Store(true) // the reader will meet it, and say so
		}
		s.timing.reading.Store(false)
		if s.opt.RewriteAfter < 0 {
			return
		}
		s.mu.Lock()
		s.again = true
		s.wake()
		s.mu.Unlock()
	})
}

// heldAtMost is what the entries that have not left take, at most. Committer only.
func (x *sealed) heldAtMost() int64 {
	switch {
	case x.pending == 0:
		return 0
	case x.tend.measuredAt >= 0 && 2*x.tend.held <= x.bytes:
		return x.tend.held
	}
	return x.info.Bytes
}

// measurement is what measure found.
type measurement struct {
	x       *sealed
	held    int64
	pending int
}

// takeMeasurements brings what the background measured to the segments. Committer only.
func (s *Store) takeMeasurements() {
	s.mu.Lock()
	list := s.measurements
	s.measurements = nil
	s.mu.Unlock()
	for _, m := range list {
		m.x.tend.held, m.x.tend.measuredAt = m.held, m.pending
	}
}

// roomToCarry makes the active segment own room for a part that is carried, or has it left for the next one.
func (s *Store) roomToCarry(step int64, full bool) bool {
	need := step + fileSlack
	if !full {
		err := s.grow(s.active, s.active.hwm+need+s.ahead())
		if err == nil {
			return true
		}
		s.mu.Lock()
		s.full = err // until it is carried: what is owned ahead is used for that
		s.mu.Unlock()
		full = true
	}
	s.mu.Lock()
	need += s.reserved() + int64(s.open.bytes)
	s.mu.Unlock()
	if s.grow(s.active, s.active.hwm+need) == nil {
		return true
	}
	if full && s.next != nil && s.next.allocated-2*s.active.stateBytes >= need && s.active.allocated-s.active.hwm < s.next.allocated/2 {
		s.rotate()
	}
	return false
}

// measure adds up what the entries of a segment take that have not left. It stops when that is more than half of the file.
func (s *Store) measure(x *sealed) (held int64, err error) {
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
func (s *Store) pendingBytes(x *sealed, e spool.Extent, r *ref, buf []byte) (int64, []byte, error) {
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
func (s *Store) needed(x *sealed, e spool.Extent, r *ref, buf []byte, yield func(spool.Index, []byte)) ([]byte, error) {
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
func (s *Store) readRemains(x *sealed, most int) (*rewrite, error) {
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

// readExtent is readRemains for one extent.
func (s *Store) readExtent(rw *rewrite, e spool.Extent, most int, buf []byte) (_ []byte, err error) {
	x := rw.from
	l := x.index.lanes[e.Lane]
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

// carried takes what a commit has carried out of a segment. Under view.
func (x *sealed) carried(rw *rewrite) {
	x.info.Extents = slices.Clone(rw.rest)
	x.dirty = true
	x.tend.held = max(x.tend.held-int64(len(rw.bytes)), 0)
	x.count()
	x.tend.pending, x.tend.measuredAt = x.pending, x.pending // it goes on at once
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
