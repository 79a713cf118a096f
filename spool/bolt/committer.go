package bolt

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spoold/spoold/spool"
)

// spacePoll is how often a full spool looks for room.
const spacePoll = 100 * time.Millisecond

// run is the committer goroutine.
func (s *Store) run() {
	defer s.shutdown()
	// A page of a mapped file that cannot be read is a fault. Here it becomes a panic, and
	// that a poisoned Store.
	debug.SetPanicOnFault(true)
	for {
		g, writes, rewritten, ok := s.take()
		if !ok {
			return
		}
		c := s.commitGuarded(g, writes, rewritten)
		s.mu.Lock()
		s.committing = nil
		if c.Err == nil {
			s.publish(g)
			for _, w := range writes {
				s.settleAttached(w)
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
		select {
		case s.commits <- c:
		case <-s.abort:
			return
		}
		if c.Err != nil {
			return
		}
		s.tend(c.Stats.Rotated)
	}
}

// take waits for work and swaps the open group for an empty one. ok is false when
// the Store is closed and nothing is due.
func (s *Store) take() (g *group, writes []*spool.Write, rewritten *rewrite, ok bool) {
	for {
		s.mu.Lock()
		wait, due := s.due(time.Now())
		if due {
			s.gather()
			g = s.swap()
			writes, s.writes, s.urgent = s.writes, nil, false
			rewritten, s.rewritten = s.rewritten, nil
			s.mu.Unlock()
			return g, writes, rewritten, true
		}
		if s.closing {
			s.mu.Unlock()
			return nil, nil, nil, false
		}
		s.idle = true
		full := s.full != nil
		s.mu.Unlock()
		s.waitForWork(wait, full)
		if full {
			s.checkSpace(true)
		}
	}
}

func (s *Store) waitForWork(wait time.Duration, full bool) {
	if full && (wait == 0 || wait > spacePoll) {
		wait = spacePoll
	}
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-s.kick:
	case <-timer:
		s.mu.Lock()
		s.idle = false
		s.mu.Unlock()
	case <-s.abort:
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
	}
}

// due reports whether there is something to commit now, or how long until there is. Under mu.
func (s *Store) due(now time.Time) (time.Duration, bool) {
	select {
	case <-s.abort:
		return 0, false
	default:
	}
	if s.open.bytes > 0 || len(s.open.keys) > 0 || len(s.open.notes) > 0 || s.urgent {
		return 0, true
	}
	if len(s.writes) == 0 {
		return 0, false
	}
	wait := s.opt.SettleAfter - now.Sub(s.owedSince)
	return max(wait, 0), wait <= 0 || s.closing
}

// gather lets callers add to the group as long as it grows: those whom the last
// commit woke are about to. Without it the first of them would be committed alone. Under
// mu, which it gives away meanwhile.
func (s *Store) gather() {
	for before := -1; before != s.open.bytes && s.open.bytes < s.opt.GroupBytes; {
		before = s.open.bytes
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
}

// swap takes the open group. Under mu.
func (s *Store) swap() *group {
	g := s.open
	s.committing = g
	s.open = s.newGroup()
	s.letIn()
	return g
}

// newGroup is an empty group. Under mu.
func (s *Store) newGroup() *group {
	var g *group
	if n := len(s.spare); n > 0 {
		g, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		g = new(group)
	}
	g.receipt = newReceipt()
	return g
}

// commitGuarded makes one commit, and poisons the Store if it fails in any way.
func (s *Store) commitGuarded(g *group, writes []*spool.Write, rewritten *rewrite) (c *Commit) {
	start := time.Now()
	c = &Commit{store: s, group: g}
	defer func() {
		if p := recover(); p != nil {
			c.Err = s.poison(fmt.Errorf("commit: %v", p))
		}
	}()
	if err := s.commit(c, g, writes, rewritten); err != nil {
		c.Err = s.poison(err)
		return c
	}
	c.Stats.Duration = time.Since(start)
	return c
}
