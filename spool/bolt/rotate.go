package bolt

import (
	"fmt"
	"path/filepath"
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

// maybeRotate begins a new segment if the group would make the active one too large. The old one
// stays what it is: the new one's first commit carries the state over, and from that moment
// on it counts.
func (s *Store) maybeRotate(t *transaction, g *group) error {
	a := s.active
	if len(g.sections) == 0 || a.liveBytes() == 0 || a.liveBytes()+int64(g.bytes) <= s.opt.SegmentBytes {
		return nil
	}
	number := a.number + 1
	size := 2*s.stateSize() + s.ahead()
	err := createSegment(s.dir, number, size, s.opt.Faults)
	if noSpace(err) {
		// The group is accepted and has its room in the old one; checkSpace refuses more.
		return nil
	}
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, segmentName(number))
	next := &active{number: number, index: newIndex(), allocated: size, stateBytes: a.stateBytes}
	if next.db, next.file, err = openBolt(path, s.mmapSize(), s.opt.Faults); err != nil {
		return fmt.Errorf("open segment %d: %w", number, err)
	}
	t.from, t.target = a, next
	return nil
}

func (s *Store) mmapSize() int64 { return s.opt.SegmentBytes + defaultSegmentBytes }

// stateSize is about what the state takes.
func (s *Store) stateSize() int64 {
	return max(s.active.stateBytes, 64<<10)
}

// dropSettled takes segments off the list that hold nothing any more: all their
// entries have left, or are carried by this commit. Under view.
func (s *Store) dropSettled(t *transaction) {
	for _, x := range s.sealed {
		x.count()
		carried := t.rewritten != nil && t.rewritten.segment == x.info.Number
		if x.pending == 0 || carried {
			t.dropped = append(t.dropped, x)
			s.state.DropSegment(x.info.Number, &t.changes)
		}
	}
}

// forget removes dropped segments from memory. Under view.
func (s *Store) forget(dropped []*sealed) {
	if len(dropped) > 0 {
		s.sealed = slices.DeleteFunc(s.sealed, func(x *sealed) bool { return slices.Contains(dropped, x) })
	}
}

// unlink removes the files of segments that are off the list, in the background: a large one takes
// long. What a crash leaves, the next start removes.
func (s *Store) unlink(dropped []*sealed) {
	if len(dropped) == 0 {
		return
	}
	s.opt.Faults.at("segments off the list")
	s.background(func() {
		for _, x := range dropped {
			x.unload()
			_ = removeFile(s.dir, segmentName(x.info.Number))
		}
		s.opt.Faults.at("segments unlinked")
	})
}

// isSealed reports whether a segment is still on the list. Committer only.
func (s *Store) isSealed(number uint64) bool {
	return slices.ContainsFunc(s.sealed, func(x *sealed) bool { return x.info.Number == number })
}
