package bolt

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/spool"
)

// spacePoll is how often a full spool looks for room.
const spacePoll = 100 * time.Millisecond

// committer makes one commit after the other, in a goroutine of its own, which owns it.
type committer struct {
	*Store
	busySince time.Time // the last commit of records or settlements
	orphans   []*block  // of the active segment: settled, to be deleted by the next commit

	stepSince atomic.Int64 // ns since born, when it began what it does now; 0: it waits
}

// born is what stepSince counts from, on the monotonic clock.
var born = time.Now().Add(-time.Nanosecond)

// step says that the committer begins something that uses the disk, or that it waits.
func (s *committer) step(works bool) {
	since := int64(0)
	if works {
		since = int64(time.Since(born))
	}
	s.stepSince.Store(since)
}

// atWork is how long the present step has taken: a commit, or other work on the disk. It is 0 while nothing is to
// be done, and grows without end on a disk that hangs. Any goroutine may call it.
func (s *committer) atWork() time.Duration {
	since := s.stepSince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(born) - time.Duration(since)
}

// run is the committer goroutine.
func (s *committer) run() {
	defer s.shutdown()
	// A page of a mapped file that cannot be read is a fault. Here it becomes a panic, and
	// that a poisoned Store.
	debug.SetPanicOnFault(true)
	for {
		s.step(true)
		w, err := s.take()
		if err != nil {
			s.fault(err)
			return
		}
		if w == nil {
			return
		}
		g, writes := w.group, w.writes
		c := s.commitGuarded(w)
		s.mu.Lock()
		s.committing = nil
		if c.Err == nil {
			s.answers.publish(g)
			for _, w := range writes {
				s.answers.settleAttached(w)
			}
		}
		s.mu.Unlock()
		if c.Err != nil {
			g.receipt.fail(c.Err)
		} else {
			close(g.receipt.done)
		}
		g.receipt = nil // from here on only tickets keep it
		if s.opt.Observe != nil && c.Err == nil {
			s.opt.Observe(c.Stats)
		}
		s.step(false)
		select {
		case s.commits <- c:
		case <-s.abort:
			return
		}
		if c.Err != nil {
			return
		}
		if err := s.rewriter.maintain(c.Stats.Rotated); err != nil {
			s.fault(err)
			return
		}
	}
}

// fault ends the committer for a failure of the disk outside a commit.
func (s *committer) fault(err error) {
	c := &Commit{store: s.Store, Err: s.poison(err)}
	select {
	case s.commits <- c:
	case <-s.abort:
	}
}

// work is what one commit is made of.
type work struct {
	group     *group
	writes    []*spool.Write
	rewritten *rewrite // or nil
	rotate    bool     // it begins a new segment
}

// take waits for work and swaps the open group for an empty one. It returns nil when
// the Store is closed and nothing is due.
func (s *committer) take() (*work, error) {
	for {
		s.mu.Lock()
		wait, due := s.due(time.Now())
		if due {
			s.gather()
			w := &work{s.swap(), s.writes, s.rewriter.rewritten, s.rewriter.rotateNow}
			s.writes, s.urgent, s.rewriter.rewritten, s.rewriter.rotateNow = nil, false, nil, false
			s.mu.Unlock()
			return w, nil
		}
		if s.closing {
			s.mu.Unlock()
			return nil, s.active.removed()
		}
		again := s.rewriter.again // since maintain was called last
		s.idle = !again
		short := s.space.full != nil || s.space.noGrant != nil || s.space.wanted > s.space.granted
		s.mu.Unlock()
		pause := s.rewriter.lookAt
		if short && (pause == 0 || pause > spacePoll) {
			pause = spacePoll
		}
		woken := again || s.waitForWork(wait, pause)
		s.mu.Lock()
		short = short || s.space.wanted > s.space.granted
		again = s.rewriter.again
		s.rewriter.again = false
		s.mu.Unlock()
		if !short && woken && !again {
			continue
		}
		look := s.rewriter.maintain
		if s.opt.RewriteAfter < 0 {
			look = s.space.checkSpace
		}
		if err := look(short); err != nil {
			return nil, err
		}
	}
}

// waitForWork waits until somebody has work, and reports whether it was that, or until one of two times has passed that
// are not 0.
func (s *committer) waitForWork(wait, pause time.Duration) (woken bool) {
	if wait == 0 || pause > 0 && pause < wait {
		wait = pause
	}
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	s.step(false)
	defer s.step(true)
	select {
	case <-s.kick:
		woken = true
	case <-timer:
		s.mu.Lock()
		s.idle = false
		s.mu.Unlock()
	case <-s.abort:
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
	}
	return woken
}

// due reports whether there is something to commit now, or how long until there is. Under mu.
func (s *committer) due(now time.Time) (time.Duration, bool) {
	select {
	case <-s.abort:
		return 0, false
	default:
	}
	if s.open.bytes > 0 || len(s.open.keys) > 0 || len(s.open.notes) > 0 || len(s.open.clears) > 0 || s.urgent || len(s.staging.ended) > 0 {
		return 0, true
	}
	if (s.rewriter.rewritten != nil || s.rewriter.rotateNow) && s.opt.RewriteAfter >= 0 && !s.closing {
		return 0, true
	}
	if len(s.writes) == 0 {
		return 0, false
	}
	wait := s.opt.SettleAfter - now.Sub(s.owedSince)
	return max(wait, 0), wait <= 0 || s.closing || s.quotas.short > 0
}

// gather lets callers add to the group as long as it grows: those whom the last
// commit woke are about to. Without it the first of them would be committed alone. Under
// mu, which it gives away meanwhile.
func (s *committer) gather() {
	for before := -1; before != s.open.bytes && s.open.bytes < s.opt.GroupBytes; {
		before = s.open.bytes
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
}

// swap takes the open group. Under mu.
func (s *committer) swap() *group {
	g := s.open
	s.committing = g
	s.open = s.newGroup()
	s.wakeWaiters()
	return g
}

// sectionSlack is what a block has beside the entries of a full group.
const sectionSlack = 4 << 10

// newGroup is an empty group. Under mu.
func (s *Store) newGroup() *group {
	var g *group
	if n := len(s.spare); n > 0 {
		g, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		g = new(group)
	}
	g.receipt, g.most = newReceipt(), s.space.hardCap+sectionSlack
	return g
}

// commitGuarded makes one commit, and poisons the Store if it fails in any way.
func (s *committer) commitGuarded(w *work) (c *Commit) {
	start := time.Now()
	c = &Commit{store: s.Store, group: w.group}
	defer func() {
		if p := recover(); p != nil {
			c.Err = s.poison(fmt.Errorf("commit: %v", p))
		}
	}()
	err := s.active.removed()
	if err == nil {
		err = s.commit(c, w)
	}
	if err != nil {
		c.Err = s.poison(err)
		return c
	}
	c.Stats.Duration = time.Since(start)
	return c
}
