package bolt

import (
	"fmt"
	"time"
)

// Room on the disk is had before it is needed: the file owns its blocks for
// everything that may already have been accepted, and for what must go on when
// nothing is accepted any more. So a full disk is met here, and not by a commit.

const (
	// stateReserve is what settlements and seals may take on a full disk. What
	// they replace is free again two commits later.
	stateReserve = 2 << 20
	allocateStep = 1 << 20
	spaceEvery   = 20 * time.Millisecond
)

// ahead is how many bytes the active segment must own beyond what is in use: one group that is
// being committed, one that is filling, and the reserve.
func (s *Store) ahead() int64 { return 2*int64(s.largest) + s.reserved() }

// reserved is the reserve, smaller where groups are small.
func (s *Store) reserved() int64 { return min(stateReserve, 2*int64(s.hardCap)) }

// giveBack ends a segment that takes no more commits where its pages end: the room it owned ahead is the next one's. No
// meta page speaks of what is above.
func (a *active) giveBack() error {
	if a.allocated <= a.hwm {
		return nil
	}
	a.allocated = a.hwm
	return a.file.Truncate(a.hwm)
}

func (s *Store) allocateStep() int64 { return min(allocateStep, int64(s.hardCap)) }

// reserve makes the segment own need more bytes than are in use.
func (s *Store) reserve(a *active, need int64) error {
	want := a.hwm + need
	if want <= a.allocated {
		return nil
	}
	step := s.allocateStep()
	want = (want + step - 1) / step * step
	if err := s.opt.Faults.allocate(a.file, a.allocated, want-a.allocated); err != nil {
		return err
	}
	a.allocated = want
	return nil
}

// checkSpace decides whether records are taken. The committer calls it after each commit, and
// while the spool is full, from time to time.
func (s *Store) checkSpace(always bool) {
	why := s.noRoom(always)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil && why == nil {
		s.letIn()
	}
	s.full = why
}

// noRoom says why no more records can be taken, or nil.
func (s *Store) noRoom(always bool) error {
	if used := s.usedBytes(); used >= s.opt.MaxBytes {
		return fmt.Errorf("the spool holds %d bytes, its limit is %d (spool.max.bytes)", used, s.opt.MaxBytes)
	}
	if err := s.reserve(s.active, s.ahead()); err != nil {
		return fmt.Errorf("no room ahead: %w", err)
	}
	if s.opt.MinFreeBytes < 0 {
		return nil
	}
	now := time.Now()
	if !always && now.Sub(s.timing.spaceChecked) < spaceEvery {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.full == nil {
			return nil
		}
	}
	s.timing.spaceChecked = now
	free, err := s.opt.Faults.freeBytes(s.dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	s.timing.free = int64(free)
	if int64(free) < s.opt.MinFreeBytes {
		return fmt.Errorf("the file system has %d bytes free, %d are to be left (spool.min.free.bytes)", free, s.opt.MinFreeBytes)
	}
	return nil
}

// usedBytes is what counts against MaxBytes: live blocks of the active segment
// and the older segments' files. Committer only.
func (s *Store) usedBytes() int64 {
	used := s.active.liveBytes()
	for _, x := range s.sealed {
		used += x.info.Bytes
	}
	return used
}
