package bolt

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
)

// Room on the disk is had before it is needed. Records are taken only while the active segment owns room for what is
// accepted and not committed and for settlements, and while the next segment is there, open, with room for the
// state and for the remains of an older segment. So rotation and rewriting, which give room back, need none, and a
// full disk is met here and not by a commit. Every byte that the files own counts against the limit.

const (
	// stateReserve is what settlements and seals may take on a full disk. What
	// they replace is free again two commits later.
	stateReserve = 2 << 20
	allocateStep = 1 << 20
	spaceEvery   = 20 * time.Millisecond
	minState     = 16 << 10 // what the pairs of the state take, at least
	minLimit     = 1 << 20  // a spool of less is not worth its overhead
	minGroup     = 8 << 10
	minKeys      = 1000     // idempotency keys are known on any disk
	fileSlack    = 64 << 10 // of which a file's size says nothing

	historyShare = 256 // of the limit, for audit entries and for gaps each: half of what the state may take
	minHistory   = 4 << 10
)

// space counts what the files own and what they may own, and makes room ahead. The committer owns what is not under mu.
type space struct {
	*Store
	hardCap      int   // bytes in a group, at most, unless one batch is larger
	largest      int   // bytes of a batch, at most
	history      int64 // bytes that audit entries may take, and as many that gaps may
	tooSmall     error // the disk is too small for a spool; Open only
	spaceChecked time.Time
	free         int64                  // bytes of the file system, when it was checked
	limit        int64                  // bytes that the files may own, when it was checked
	thin         bool                   // the file system cannot allocate ahead
	newLimits    atomic.Pointer[limits] // that the committer is to go by; nil: none. Not under mu
	aside        int64                  // bytes of damaged segments that are kept
	next         *active                // the next segment: made, open and with room; nil while that cannot be had

	// Under mu.
	full      error // why nothing is taken now
	stateFull bool  // no more topics are taken: the state is too large for the limit
	big       int   // batches that wait for a group of their own
	wanted    int   // bytes of the largest of them
	granted   int   // bytes of a batch above hardCap that the active segment owns room for
	noGrant   error // why it is not as many as wanted
	refused   int   // what was wanted when noGrant was said: it holds until there is room for that
}

// ahead is how many bytes the active segment must own beyond what is in use: one group that is
// being committed, one that is filling, and the reserve.
func (s *space) ahead() int64 { return 2*int64(s.hardCap) + s.reserved() }

// reserved is the reserve, smaller where groups are small.
func (s *space) reserved() int64 { return min(stateReserve, 2*int64(s.hardCap)) }

// spare is how much of what the files may own is not for records: settlements, dead letters and rewriting take it while the spool is
// full, so that the files do not pass the limit for them.
func (s *space) spare() int64 { return s.reserved() }

// spent reports whether a full spool has used up most of what spare left. What fills the disk beside it does not count.
func (s *space) spent() bool { return s.owned() > s.opt.MaxBytes-s.spare()/2 }

// segmentBytes is the live bytes at which the active segment is left.
func (s *space) segmentBytes() int64 {
	return max(min(s.opt.SegmentBytes, s.limit/16), 8*s.active.stateBytes)
}

// limits are Options.MaxBytes and Options.MinFreeBytes.
type limits struct{ maxBytes, minFreeBytes int64 }

// SetLimits replaces Options.MaxBytes and Options.MinFreeBytes, in the same manner. They are in force a moment
// later, without a commit. Any goroutine may call it.
func (s *Store) SetLimits(maxBytes, minFreeBytes int64) {
	o := (&Options{MaxBytes: maxBytes, MinFreeBytes: minFreeBytes}).withDefaults()
	s.space.newLimits.Store(&limits{o.MaxBytes, o.MinFreeBytes})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rewriter.again = true
	s.wake()
}

// measureLimit finds out what the files may own.
func (s *space) measureLimit() error {
	if l := s.newLimits.Swap(nil); l != nil {
		s.opt.MaxBytes, s.opt.MinFreeBytes = l.maxBytes, l.minFreeBytes
		defer s.committer.publishLimits()
	}
	free, err := s.opt.Faults.freeBytes(s.dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	floor := max(s.opt.MinFreeBytes, 0)
	if s.thin && s.active != nil {
		floor = max(floor, s.ahead()+s.nextNeed())
	}
	s.spaceChecked, s.free = time.Now(), int64(min(free, 1<<62))
	if s.aside > 0 {
		_, s.aside = damagedFiles(s.dir) // an operator may have moved them away
	}
	s.limit = min(s.opt.MaxBytes, s.owned()+s.free-floor)
	return nil
}

// scale fits the size of groups and batches to the disk, before anything is made.
func (s *space) scale() error {
	s.thin = copiesOnWrite(s.dir)
	total, err := s.opt.Faults.totalBytes(s.dir)
	if err != nil {
		return fmt.Errorf("size of the file system: %w", err)
	}
	most := min(s.opt.MaxBytes, int64(min(total, 1<<62))-max(s.opt.MinFreeBytes, 0))
	s.tooSmall = nil
	if most < minLimit {
		s.tooSmall = fmt.Errorf("%w: the file system of %s has %s, of which %s are to be left free (spool.min.free.bytes), and a spool may take %s (spool.max.bytes); it needs at least %s: lower spool.min.free.bytes, raise spool.max.bytes, or use a larger disk",
			ErrTooSmall, s.dir, humanize.IBytes(total), sizeText(max(s.opt.MinFreeBytes, 0)), sizeText(s.opt.MaxBytes), sizeText(minLimit))
		most = minLimit
	}
	s.hardCap = maxGroupFactor * int(min(int64(s.opt.GroupBytes), max(most/256, minGroup)))
	s.history = most / historyShare
	if s.opt.StateBytes > 0 {
		s.history = min(s.history, s.opt.StateBytes/4)
	}
	s.history = max(s.history, minHistory)
	s.largest = max(s.hardCap, int(min(int64(s.opt.MaxBatch), most/4)))
	return nil
}

// owned is what the files have on the disk. Committer only.
func (s *space) owned() int64 {
	n := int64(0)
	if s.active != nil {
		n = max(s.active.allocated, s.active.hwm)
	}
	if s.next != nil {
		n += s.next.allocated
	}
	for _, x := range s.sealed {
		if !x.info.Damaged {
			n += x.bytes
		}
	}
	return n + s.aside
}

// giveBack ends a segment that takes no more commits where its pages end: the room it owned ahead is the next one's. No
// meta page speaks of what is above.
func (a *active) giveBack() error {
	if a.allocated <= a.hwm {
		return nil
	}
	a.allocated = a.hwm
	return a.file.Truncate(a.hwm)
}

// roundUp is a size in steps of allocation.
func (s *space) roundUp(n int64) int64 {
	step := max(min(allocateStep, int64(s.hardCap)/pageSize*pageSize), pageSize)
	return (n + step - 1) / step * step
}

// allocate makes a file own its first want bytes.
func (s *space) allocate(a *active, want int64) error {
	if want <= a.allocated {
		return nil
	}
	err := s.opt.Faults.allocate(a.file, a.allocated, want-a.allocated)
	if errors.Is(err, errNoAllocate) {
		s.thin, err = true, nil
	}
	if err == nil {
		a.allocated = want
	}
	return err
}

// reserve makes the segment own need more bytes than are in use, whatever the limit is, and some more for the next time within it.
func (s *space) reserve(a *active, need int64) error {
	want := s.roundUp(a.hwm + need + s.reserved()/2)
	if s.owned()+want-a.allocated > s.limit {
		want = (a.hwm + need + pageSize - 1) / pageSize * pageSize
	}
	return s.allocate(a, want)
}

// grow makes the segment own its first want bytes, if spare bytes are left within the limit then.
func (s *space) grow(a *active, want, spare int64) error {
	want = s.roundUp(want)
	if want <= a.allocated {
		return nil
	}
	if err := s.within(want - a.allocated + spare); err != nil {
		return err
	}
	if err := s.allocate(a, want); err != nil {
		return fmt.Errorf("no room ahead: %w", err)
	}
	return nil
}

// within says why the files may not own so many bytes more, or nil.
func (s *space) within(more int64) error {
	own := s.owned()
	if own+more <= s.limit {
		return nil
	}
	if s.limit == s.opt.MaxBytes {
		return fmt.Errorf("the spool's files own %s of at most %s (spool.max.bytes), and need %s more%s", sizeText(own), sizeText(s.opt.MaxBytes), sizeText(more), s.dead.share(own))
	}
	return fmt.Errorf("the file system of %s has %s free, %s are to be left (spool.min.free.bytes), and the spool needs %s more%s",
		s.dir, sizeText(s.free), sizeText(max(s.opt.MinFreeBytes, 0)), sizeText(more), s.dead.share(own))
}

// nextNeed is what the next segment must own: the state, which is copied into it, the groups that go there, and half of
// the largest older file, which is the most that is carried of one.
func (s *space) nextNeed() int64 {
	largest := s.active.hwm
	for _, x := range s.sealed {
		if !x.info.Damaged {
			largest = max(largest, x.bytes)
		}
	}
	return s.roundUp(4*pageSize + 2*max(s.active.stateBytes, minState) + s.ahead() + largest/2)
}

// prepareNext makes the next segment, or makes it larger, if spare bytes are left within the limit then.
func (s *space) prepareNext(spare int64) error {
	need := s.nextNeed()
	if s.next != nil {
		return s.grow(s.next, need, spare)
	}
	if err := s.within(need + spare); err != nil {
		return err
	}
	number := s.active.number + 1
	if err := createSegment(s.dir, number, need, s.opt.Faults); err != nil {
		return err
	}
	if err := s.dirFile.Sync(); err != nil {
		return err
	}
	next, err := s.openSegment(segmentPath(s.dir, number)+tempSuffix, number)
	if err != nil {
		return err
	}
	next.allocated = need
	s.next = next
	return nil
}

// dropNext removes what prepareNext made.
func (s *space) dropNext() {
	if s.next == nil {
		return
	}
	_ = s.next.db.Close()
	_ = os.Remove(segmentPath(s.dir, s.next.number) + tempSuffix)
	s.next = nil
}

// checkSpace decides whether records are taken. The committer calls it after each commit, and
// while the spool is full, from time to time. The error is one of the disk.
func (s *space) checkSpace(always bool) error {
	why, grant, noGrant, broken := s.whyFull(always)
	if broken != nil {
		return broken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil && why == nil || grant > s.granted {
		s.wakeWaiters()
	}
	s.full, s.noGrant = why, noGrant
	if noGrant == nil {
		s.refused = 0
	} else if s.wanted > 0 {
		s.refused = s.wanted
	}
	if s.granted = grant; s.big == 0 {
		s.wanted, s.granted = 0, 0
	}
	s.stateFull = max(s.active.stateBytes, 0) > s.stateLimit()
	s.keys.SetMax(min(s.opt.MaxKeys, int(s.keyLimit()/keyRoom)))
	return nil
}

// stateLimit is what the state may take; above it no new topics and notes are taken.
func (s *space) stateLimit() int64 {
	if s.opt.StateBytes > 0 {
		return max(s.opt.StateBytes, minState)
	}
	return max(s.limit/64, minState)
}

// keyRoom is what an idempotency key takes on the disk, about, and keyLimit what all of them may take.
const keyRoom = 64

func (s *space) keyLimit() int64 {
	if s.opt.KeyBytes > 0 {
		return max(s.opt.KeyBytes, minKeys*keyRoom)
	}
	return max(s.limit/8, minKeys*keyRoom)
}

// roomForNotes refuses notes that are new while the state is too large. Under mu.
func (s *space) roomForNotes(notes []Note) error {
	if !s.stateFull {
		return nil
	}
	s.view.RLock()
	defer s.view.RUnlock()
	for _, n := range notes {
		if _, known := s.state.Note(n.Name); !known && n.Value != nil {
			return fmt.Errorf("%w: no room for another note: what the spool keeps besides records takes %d bytes, allowed are %d (spool.state.max.bytes)", ErrFull, s.active.stateBytes, s.stateLimit())
		}
	}
	return nil
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// whyFull says why no more records can be taken, or nil, and how large a batch of its own group may be.
func (s *space) whyFull(always bool) (why error, grant int, noGrant, broken error) {
	s.mu.Lock()
	wanted, refused, full := s.wanted, s.refused, s.full != nil
	s.mu.Unlock()
	if always || full || s.newLimits.Load() != nil || time.Since(s.spaceChecked) >= spaceEvery {
		if err := s.measureLimit(); err != nil {
			return err, 0, nil, s.active.removed()
		}
	}
	spare := s.spare()
	why = s.within(spare)
	if why == nil {
		why = s.grow(s.active, s.active.hwm+s.ahead(), spare)
	}
	if why == nil {
		why = s.prepareNext(spare)
	}
	var path *os.PathError
	if errors.As(why, &path) && !passing(why) {
		return why, 0, nil, why
	}
	if why == nil && wanted > 0 {
		if noGrant = s.grow(s.active, s.active.hwm+s.ahead()+int64(wanted)+fileSlack, spare); noGrant == nil {
			grant = wanted
		}
	}
	if why == nil && wanted == 0 && refused > 0 {
		noGrant = s.within(max(s.roundUp(s.active.hwm+s.ahead()+int64(refused)+fileSlack)-s.active.allocated, 0) + spare)
	}
	return why, grant, noGrant, nil
}
