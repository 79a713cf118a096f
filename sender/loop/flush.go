package loop

import (
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// progress is how far each lane has come, as the loop has seen it: what was
// committed, and what was acked or refused. It answers one question: has
// everything that was spooled before some moment left?
type progress struct {
	accepted uint64 // records committed since the spool was created
	lanes    map[spool.LaneID]*laneProgress
	waiters  []*flushWaiter
}

type laneProgress struct {
	end  spool.Index
	left *spool.Set
}

// flushWaiter waits first until accepted records were seen, then until what was
// there at that moment has left.
type flushWaiter struct {
	accepted uint64
	ends     map[spool.LaneID]spool.Index // nil: still in the first part
	done     chan struct{}
}

func newProgress(rec *spool.Recovered) *progress {
	p := &progress{accepted: rec.Counters.Accepted, lanes: make(map[spool.LaneID]*laneProgress)}
	for i := range rec.Lanes {
		l := &rec.Lanes[i]
		p.lanes[l.ID] = &laneProgress{end: l.End, left: l.Settled.Clone()}
	}
	return p
}

func (p *progress) lane(id spool.LaneID) *laneProgress {
	l := p.lanes[id]
	if l == nil {
		l = &laneProgress{left: spool.NewSet(0)}
		p.lanes[id] = l
	}
	return l
}

func (p *progress) committed(c *spool.Committed) {
	for i := range c.Sections {
		l := p.lane(c.Sections[i].Lane)
		for _, sp := range c.Sections[i].Spans {
			p.accepted += uint64(sp.Len())
			l.end = max(l.end, sp.End)
		}
	}
}

func (p *progress) delivered(d *sender.Delivery) {
	l := p.lane(d.Lane)
	for _, sp := range d.Spans {
		l.left.Add(sp)
	}
}

// check moves the waiters on and closes done of those whose wait is over. It reports
// whether one of them has entered its second part: then the core should hurry.
func (p *progress) check() (hurry bool) {
	kept := p.waiters[:0]
	for _, w := range p.waiters {
		if w.ends == nil && p.accepted >= w.accepted {
			w.ends = p.pending()
			hurry = hurry || len(w.ends) > 0
		}
		if w.ends != nil && p.gone(w.ends) {
			close(w.done)
			continue
		}
		kept = append(kept, w)
	}
	clear(p.waiters[len(kept):])
	p.waiters = kept
	return hurry
}

func (p *progress) pending() map[spool.LaneID]spool.Index {
	ends := make(map[spool.LaneID]spool.Index)
	for id, l := range p.lanes {
		if l.left.Low() < l.end {
			ends[id] = l.end
		}
	}
	return ends
}

func (p *progress) gone(ends map[spool.LaneID]spool.Index) bool {
	for id, end := range ends {
		if p.lanes[id].left.Low() < end {
			return false
		}
		delete(ends, id)
	}
	return true
}

// drop forgets a waiter that has given up.
func (p *progress) drop(w *flushWaiter) {
	for i, x := range p.waiters {
		if x == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			return
		}
	}
}
