package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/spoold/spoold/spool"
)

// Store is an open spool. doc.go says who may call what. What it is made of has a type for each
// responsibility; they share what is here, under its locks.
type Store struct {
	opt     Options
	dir     string
	dirFile *os.File // for its sync
	lock    *lock
	clock   *clock
	stamps  *stamps // under mu
	boot    [16]byte
	past    *Receipt // of what was committed before anybody asked

	committer *committer
	space     *space
	rewriter  *rewriter
	dead      *deadLetters
	answers   *answers
	staging   *staging

	mu         sync.Mutex
	open       *group
	committing *group // taken by the committer, outcome not known yet
	spare      []*group
	lanes      map[string]*lane
	laneByID   []*lane
	keys       *spool.KeyIndex
	writes     []*spool.Write
	urgent     bool      // one of writes is
	owedSince  time.Time // when the first of writes came
	idle       bool      // the committer waits for kick
	closing    bool
	err        error         // poisoned
	over       bool          // the segments are closed, or about to be
	roomy      chan struct{} // closed when there may be room
	turns      *turns
	*quotas
	kept []*lane // after the end: whose receipts are not answered

	view   sync.RWMutex
	state  *spool.State
	active *active
	sealed []*sealed // ascending by number
	// coming is where the entries begin that state counts already, and that the commit
	// under way has not made durable: nobody can read them yet.
	coming map[spool.LaneID]spool.Index

	kick     chan struct{}
	commits  chan *Commit
	abort    chan struct{} // closed when Close waits no longer
	ended    chan struct{} // closed when the committer is gone
	stats    atomic.Pointer[Stats]
	lanesNow laneStats
	cache    sealedCache
	work     sync.WaitGroup // in the background
	begin    sync.Mutex     // held where such work begins
}

// Commit says what one spool commit made durable.
type Commit struct {
	spool.Committed
	Err     error // not nil: the outcome is unknown, and this is the last one
	Receipt weak.Pointer[Receipt]
	Stats   CommitStats

	store *Store
	group *group
	once  sync.Once
}

// Release says that the entries were copied: the sections' bytes are used again.
func (c *Commit) Release() {
	c.once.Do(func() {
		if c.group == nil {
			return
		}
		s, g := c.store, c.group
		c.group, c.Sections = nil, nil
		g.recycle(s.space.hardCap)
		s.mu.Lock()
		if len(s.spare) < 3 {
			s.spare = append(s.spare, g)
		}
		s.mu.Unlock()
	})
}

// Commits are the spool's commits, in order. The committer waits when the receiver is behind.
// The channel is closed after Close, and after a Commit with Err.
func (s *Store) Commits() <-chan *Commit { return s.commits }

// Now is the time on the wall and on the spool clock.
func (s *Store) Now() spool.Time { return s.clock.now() }

// Aged is one above the last entry of a lane that was committed, with all before it, when the spool clock showed before or
// earlier, as far as Options.AgeEvery shows; 0: none was.
func (s *Store) Aged(lane spool.LaneID, before int64) spool.Index {
	s.view.RLock()
	defer s.view.RUnlock()
	if int(lane) >= s.state.Lanes() {
		return 0
	}
	return s.state.Aged(lane, before)
}

// Submit gives the committer something to make durable. It never blocks. Writes are
// carried out in the order of their submission; w must not be changed any more.
func (s *Store) Submit(w *spool.Write, urgent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.writes) == 0 {
		s.owedSince = time.Now()
	}
	s.writes = append(s.writes, w)
	s.urgent = s.urgent || urgent
	s.wake()
}

// Note is a caller's fact as it was last committed.
func (s *Store) Note(name string) ([]byte, bool) {
	s.view.RLock()
	defer s.view.RUnlock()
	v, ok := s.state.Note(name)
	return append([]byte(nil), v...), ok
}

// Notes are the callers' facts whose names begin with prefix, as they were last committed, by name.
func (s *Store) Notes(prefix string) map[string][]byte {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.state.Notes(prefix)
}

// Close commits what is due, owed settlements too, and lets go of the spool. Appends fail
// with ErrClosed from now on. When ctx ends first, what is not committed is
// left out, as a crash would. The receiver of Commits must go on receiving until the channel
// is closed, or let ctx end.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		s.wakeWaiters()
		s.wake()
	}
	s.mu.Unlock()
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.mu.Lock()
		select {
		case <-s.abort:
		default:
			close(s.abort)
		}
		s.mu.Unlock()
		<-s.ended
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// wakeWaiters wakes those who wait for room. Under mu.
func (s *Store) wakeWaiters() {
	if s.roomy != nil {
		close(s.roomy)
		s.roomy = nil
	}
	s.turns.callFirst()
	s.quotas.wakeAll()
}

// shutdown lets go of everything; the committer calls it last.
func (s *Store) shutdown() {
	s.work.Wait()
	s.mu.Lock()
	s.closing, s.over = true, true
	s.wakeWaiters()
	why := ErrClosed
	if s.err != nil {
		why = s.err
	}
	if s.open != nil {
		s.open.receipt.fail(why)
	}
	for _, l := range s.laneByID {
		if len(l.places)+len(l.attached) > 0 {
			s.kept = append(s.kept, &lane{id: l.id, topic: l.topic, places: l.places, attached: l.attached})
			l.places, l.attached = nil, nil
		}
	}
	s.mu.Unlock()
	if !s.opt.KeepReceipts {
		s.Receipts().Close()
	}
	s.view.Lock()
	err := s.active.db.Close()
	s.space.dropNext()
	left := s.sealed
	s.view.Unlock()
	for _, x := range left {
		x.unload() // not under view: a reader may hold x and wait for view
	}
	_ = s.dirFile.Close()
	s.lock.release()
	s.mu.Lock()
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("close: %w", err)
	}
	s.mu.Unlock()
	close(s.commits)
	close(s.ended)
}

// closedOr says why nothing can be read any more, or err if that is not so.
func (s *Store) closedOr(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.over:
		return err
	case s.err != nil:
		return s.err
	}
	return ErrClosed
}

// fail ends the wait of a group's callers.
func (r *Receipt) fail(err error) {
	r.err = err
	close(r.done)
	r.close(err)
}

// poison ends all: what is in memory may not be what is on disk.
func (s *Store) poison(err error) error {
	if fullWrite(err) {
		err = &SpaceError{err}
	} else if !errors.Is(err, ErrPoisoned) {
		err = fmt.Errorf("%w: %w", ErrPoisoned, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.wakeWaiters()
	return s.err
}
