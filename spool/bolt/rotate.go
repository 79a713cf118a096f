package bolt

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

// info is what the list of segments will say of this one. Under view.
func (a *active) info() spool.SegmentInfo {
	return spool.SegmentInfo{
		Number: a.number, Bytes: a.liveBytes(),
		Blocks: a.head.Blocks, Sum: a.head.BlockSum, Keys: a.head.Keys, KeySum: a.head.KeySum,
		Extents: a.index.extents(),
	}
}

// rotationDue reports whether a commit with a group goes into a new segment.
func (s *space) rotationDue(g *group) bool {
	a, seg := s.active, s.segmentBytes()
	live := a.liveBytes()
	if (len(g.sections) > 0 || g.staged != nil) && live > 0 && live+int64(g.bytes) > seg {
		return true
	}
	// Pages that are free inside the file are no room: bbolt needs as many in a row as a block takes.
	return a.hwm >= seg+seg/2+fileSlack
}

// emptyBytes is what the active segment may have in use while nothing in it is needed but the state.
const emptyBytes = 16 << 20

// halfDead reports whether the active segment would be smaller if it was left: it has more than half a segment, and less
// than half of it is needed; or it has more than emptyBytes, and nothing of it is.
func (s *space) halfDead() bool {
	a, most := s.active, s.segmentBytes()/2
	if a.liveBytes() == 0 {
		most = min(most, emptyBytes)
	}
	return a.hwm > most+fileSlack && 2*(a.liveBytes()+a.stateBytes) <= a.hwm
}

// maybeRotate begins a new segment if it is time to. The old one
// stays what it is: the new one's first commit carries the state over, and from that moment
// on it counts.
func (s *committer) maybeRotate(t *transaction, g *group, asked bool) error {
	if !asked && !s.space.rotationDue(g) {
		return nil
	}
	if s.space.next == nil {
		// Before the first commit, or when the disk is short: it goes on in the old one, where there is room for what is accepted.
		if err := s.space.prepareNext(0); err != nil {
			return nil //nolint:nilerr // checkSpace meets it again, and says so
		}
	}
	if err := nameSegment(s.dirFile, s.space.next.number, s.opt.Faults); err != nil {
		if passing(err) {
			return nil
		}
		return err
	}
	t.from, t.target = s.active, s.space.next
	s.space.next = nil
	return nil
}

// openSegment opens an empty segment.
func (s *space) openSegment(path string, number uint64) (*active, error) {
	a := &active{number: number, index: newIndex()}
	var err error
	if a.db, a.file, err = openBolt(path, s.mmapSize(), s.opt.Faults); err != nil {
		return nil, fmt.Errorf("open segment %d: %w", number, err)
	}
	if s.opt.Faults.AllocSize == 0 {
		// bbolt cuts a file that it grows to its own idea of a size. It must not cut off what was allocated ahead.
		a.db.AllocSize = int(s.mmapSize())
	}
	return a, nil
}

// mmapSize is more than a segment becomes: all of it is mapped before it is needed.
func (s *space) mmapSize() int64 {
	return max(s.opt.SegmentBytes, 8*s.stateNow())*3/2 + int64(s.largest) + defaultSegmentBytes
}

func (s *space) stateNow() int64 {
	if s.active == nil {
		return 0
	}
	return s.active.stateBytes
}

// dropSettled takes segments off the list that hold nothing any more: all their
// entries have left, or are carried by this commit. Of one that a part is carried of, the list says what is left. Under view.
func (s *committer) dropSettled(t *transaction) {
	for _, x := range s.sealed {
		x.count()
		carried := t.rewritten != nil && t.rewritten.from == x
		if carried && len(t.rewritten.rest) > 0 && x.pending > 0 {
			info := x.info
			info.Extents = t.rewritten.rest
			s.state.PutSegment(info, &t.changes)
			continue
		}
		if x.pending == 0 && len(x.open) == 0 || carried {
			t.dropped = append(t.dropped, x)
			s.state.DropSegment(x.info.Number, &t.changes)
		}
	}
}

// forget removes dropped segments from memory. Under view.
func (s *committer) forget(dropped []*sealed) {
	if len(dropped) > 0 {
		s.sealed = slices.DeleteFunc(s.sealed, func(x *sealed) bool { return slices.Contains(dropped, x) })
	}
}

// unlink removes the files of segments that are off the list, in the background: a large one takes
// long. What a crash leaves, the next start removes.
func (s *committer) unlink(dropped []*sealed) {
	if len(dropped) == 0 {
		return
	}
	s.opt.Faults.at("segments off the list")
	s.background(func() {
		for _, x := range dropped {
			x.unload()
			_ = removeFile(s.dir, segmentName(x.info.Number)) // one that was set aside has another name, and is kept
		}
		s.opt.Faults.at("segments unlinked")
		s.mu.Lock()
		s.wake() // there is room now
		s.mu.Unlock()
	})
}

// isSealed reports whether a segment is still on the list. Committer only.
func (s *rewriter) isSealed(x *sealed) bool { return slices.Contains(s.sealed, x) }
