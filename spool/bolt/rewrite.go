package bolt

import (
	"slices"
	"sync/atomic"
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

// rewriter carries what is left of older segments into newer ones. The committer owns what is not under mu.
type rewriter struct {
	*Store
	lookAt  time.Duration // when maintain is to be called again if there is no commit; 0: not at all
	reading atomic.Bool   // a segment is measured, or its remains are read

	// Under mu.
	rewritten    *rewrite // a part of a segment's remains, to be carried by the next commit
	rotateNow    bool     // the next commit begins a new segment
	measurements []measurement
	again        bool // the background has done something: maintain is to look
}

// rewrite is a part of what is left of a segment.
type rewrite struct {
	from     *sealed
	sections []spool.BlockSection // Off and Len in bytes
	bytes    []byte
	rest     []spool.Extent // what is left then; none: nothing
	former   []formerDead   // not nil: dead letters that the state kept, and no segment's remains
}

// upkeep is what the committer keeps of a segment that may have to be rewritten.
type upkeep struct {
	pending int       // entries that had not left, when it was looked at last
	since   time.Time // how long that is so
	// held is what the entries that had not left took when they were measuredAt so many. They may have become fewer.
	held       int64
	measuredAt int // -1: not measured
}

// measurePause is how soon the next part of what a start has not measured is read, if there is no commit.
const measurePause = 5 * time.Millisecond

// maintain is called after each commit, and from time to time. The error is one of the disk.
func (s *rewriter) maintain(always bool) error {
	err := s.lookForRoom(always)
	if s.quotas.measureRest(measureLater) && (s.lookAt == 0 || s.lookAt > measurePause) {
		s.lookAt = measurePause
	}
	return err
}

// lookForRoom finds out whether there is room, and whether an old segment is to be rewritten.
func (s *rewriter) lookForRoom(always bool) error {
	if err := s.space.checkSpace(always); err != nil {
		return err
	}
	s.takeMeasurements()
	s.mu.Lock()
	full, waits := s.space.full != nil, s.closing || s.rewritten != nil || s.rotateNow
	s.mu.Unlock()
	s.lookAt = 0
	if waits || s.reading.Load() {
		return nil
	}
	if s.opt.RewriteAfter >= 0 && slices.ContainsFunc(s.sealed, func(x *sealed) bool { return x.pending == 0 && len(x.open) == 0 }) {
		s.mu.Lock()
		s.urgent = true // the segment that was left has nothing in it: a commit takes it off the list, and its file goes
		s.mu.Unlock()
		return nil
	}
	quiet := time.Since(s.committer.busySince) >= s.opt.RewriteAfter
	if s.space.halfDead() {
		if s.space.next != nil && (full || quiet) {
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

// lookAgain: maintain is to be called again, though there may be no commit.
func (s *rewriter) lookAgain() {
	if s.opt.RewriteAfter >= 0 {
		s.lookAt = max(s.opt.RewriteAfter, time.Millisecond)
	}
}

// rotate makes the next commit begin a new segment.
func (s *rewriter) rotate() {
	s.mu.Lock()
	s.rotateNow = true
	s.mu.Unlock()
}

// nextRewrite is the segment of which the smallest part is needed, if that is at most half of its file, as far as is known.
// It is to be measured first if it was not, or has become less.
func (s *rewriter) nextRewrite(full bool) (best *sealed, measure bool) {
	now := time.Now()
	var bestShare float64
	for _, x := range s.sealed {
		if x.pending != x.upkeep.pending || x.upkeep.since.IsZero() {
			x.upkeep.pending, x.upkeep.since = x.pending, now
			s.lookAgain()
			if !full {
				continue
			}
		}
		if x.pending == 0 || len(x.open) > 0 || x.unreadable.Load() || x.info.Damaged { // a damaged file is kept: carrying gives no room back
			continue
		}
		rests := now.Sub(x.upkeep.since) >= s.opt.RewriteAfter
		if !full && !rests {
			s.lookAgain()
			continue
		}
		m := x.upkeep.measuredAt
		stale := m < 0 && (x.pending < x.entries() || x.wasted) || x.pending < m && (rests || x.pending <= m-m/16)
		if !stale && (m < 0 || 2*x.upkeep.held > x.bytes) {
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
	if x.upkeep.measuredAt >= 0 {
		bytes, entries = x.upkeep.held, x.upkeep.measuredAt
	}
	return int64(float64(bytes) * float64(x.pending) / float64(max(entries, 1)))
}

// startMeasure finds out in the background what is needed of a segment.
func (s *rewriter) startMeasure(x *sealed) {
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
func (s *rewriter) startRewrite(x *sealed, full, quiet bool) {
	step := rewriteBeside
	if full || quiet {
		step = rewriteStep
	}
	if step = min(step, int(x.upkeep.held)+1); !s.roomToCarry(int64(step), full) {
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
func (s *rewriter) inBackground(x *sealed, read func() error) {
	s.reading.Store(true)
	s.background(func() {
		if err := read(); err != nil && !passing(err) {
			x.unreadable.Store(true) // the reader will meet it, and say so
		}
		s.reading.Store(false)
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
	case x.upkeep.measuredAt >= 0 && 2*x.upkeep.held <= x.bytes:
		return x.upkeep.held
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
func (s *rewriter) takeMeasurements() {
	s.mu.Lock()
	list := s.measurements
	s.measurements = nil
	s.mu.Unlock()
	for _, m := range list {
		m.x.upkeep.held, m.x.upkeep.measuredAt = m.held, m.pending
	}
}

// roomToCarry makes the active segment own room for a part that is carried, or has it left for the next one.
func (s *rewriter) roomToCarry(step int64, full bool) bool {
	need := step + fileSlack
	if !full {
		err := s.space.grow(s.active, s.active.hwm+need+s.space.ahead(), s.space.spare())
		if err == nil {
			return true
		}
		s.mu.Lock()
		s.space.full = err // until it is carried: what is owned ahead is used for that
		s.mu.Unlock()
		full = true
	}
	s.mu.Lock()
	need += s.space.reserved() + int64(s.open.bytes)
	s.mu.Unlock()
	if s.space.grow(s.active, s.active.hwm+need, 0) == nil {
		return true
	}
	if full && s.space.next != nil && s.space.next.allocated-2*s.active.stateBytes >= need && s.active.allocated-s.active.hwm < s.space.next.allocated/2 {
		s.rotate()
	}
	return false
}

// carried takes what a commit has carried out of a segment. Under view.
func (x *sealed) carried(rw *rewrite) {
	x.info.Extents = slices.Clone(rw.rest)
	x.dirty = true
	x.upkeep.held = max(x.upkeep.held-int64(len(rw.bytes)), 0)
	x.count()
	x.upkeep.pending, x.upkeep.measuredAt = x.pending, x.pending // it goes on at once
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
