package bolt

import (
	"time"

	"github.com/spoold/spoold/spool"
)

// Stats are the spool's numbers as of the last commit.
type Stats struct {
	Bytes        int64  // what is needed of the files, about: records that have not left, idempotency keys
	Limit        int64  // what the files may own: MaxBytes, or less on a small disk
	DiskBytes    int64  // what the files own: it counts against Limit
	FreeBytes    int64  // of the file system, as last seen
	MinFreeBytes int64  // to be left to others
	Segments     int    // files that hold records or state
	Block        uint64 // number of the last commit
	Full         string // why nothing is taken now; "": records are taken
	Counters     spool.Counters
	DeadLetters  int
	Keys         int           // idempotency keys known
	KeysAge      time.Duration // of the oldest
	Lanes        int
	Committing   time.Duration // how long the commit under way has taken; 0: there is none
	Gaps         []Gap         // the last of them, oldest first
	DamagedFiles []string      // segments that are set aside, and kept
}

// Gap is a spool.Gap, with the topic's name.
type Gap struct {
	spool.Gap
	Topic string
}

// gapsShown is how many gaps Stats has.
const gapsShown = 20

// lastGaps are the last of a state's gaps.
func lastGaps(st *spool.State, most int) (out []Gap) {
	all := st.Gaps()
	for _, g := range all[max(len(all)-most, 0):] {
		out = append(out, Gap{g, st.Topic(g.Lane)})
	}
	return out
}

// Stats is cheap, and safe from any goroutine.
func (s *Store) Stats() Stats {
	st := *s.stats.Load()
	s.space.present(&st)
	return st
}

// present adds what changes between commits.
func (s *space) present(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.full != nil:
		st.Full = s.full.Error()
	case s.noGrant != nil: // the last large record was refused; smaller ones are taken
		st.Full = s.noGrant.Error()
	}
	st.Committing = s.committer.atWork()
	now := s.clock.now().Age
	st.Keys, st.KeysAge = s.keys.Len(), time.Duration(now-s.keys.OldestAge(now))*time.Millisecond
}

// Free is what is free of a Store's file system now: Stats has it as of the last commit, and others fill a disk, too. ok: it is known. Any
// goroutine may call it.
func Free(s *Store) (bytes int64, ok bool) {
	free, err := s.opt.Faults.freeBytes(s.dir)
	return int64(min(free, 1<<62)), err == nil
}

// publishStats is called by the committer after a commit.
func (s *committer) publishStats(t *transaction) {
	st := &Stats{
		Bytes:     s.heldBytes(),
		DiskBytes: s.space.owned(), FreeBytes: s.space.free, Segments: 1 + len(s.sealed),
		Block: t.number, Counters: s.state.Counters(), DeadLetters: s.state.DeadLetters(), Lanes: s.state.Lanes(),
		Gaps: lastGaps(s.state, gapsShown),
	}
	if s.space.aside > 0 {
		st.DamagedFiles, _ = damagedFiles(s.dir)
	}
	s.limitsInto(st)
	s.publishLanes(st, t.touched)
	s.stats.Store(st)
}

// publishLimits is called by the committer when they have changed.
func (s *committer) publishLimits() {
	if st := s.stats.Load(); st != nil { // else nothing was published yet
		changed := *st
		s.limitsInto(&changed)
		s.publishLanes(&changed, nil)
		s.stats.Store(&changed)
	}
}

func (s *committer) limitsInto(st *Stats) {
	st.Limit, st.MinFreeBytes = s.opt.MaxBytes, max(s.opt.MinFreeBytes, 0)
	if s.space.limit > 0 {
		st.Limit = min(st.Limit, s.space.limit)
	}
}

// heldBytes is what is needed of the files, about. Committer only.
func (s *committer) heldBytes() int64 {
	held := s.active.liveBytes()
	for _, x := range s.sealed {
		held += x.heldAtMost()
	}
	return held
}
