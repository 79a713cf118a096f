package loop

import (
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// progress is how far each lane has come: what was committed, and what of it has left. It answers one question: has
// everything that was spooled before some moment left?
type progress struct {
	accepted uint64 // records committed since the spool was created
	// settled is the index of a lane below which all have left, as the core has it.
	settled func(spool.LaneID) spool.Index
	lanes   map[spool.LaneID]*laneProgress
	waiters []*flushWaiter
}

type laneProgress struct {
	end   spool.Index
	gone  spool.Index // below it all have left on disk, too, as of the last snapshot
	marks []mark
	every int64 // ms that a mark covers
}

// mark says how old records are: those below end that are in no earlier mark were committed at
// this Age or later.
type mark struct {
	end spool.Index
	age int64
}

// maxMarks bounds what is kept of a lane's ages: with more, each covers twice the time.
const maxMarks = 256

// flushWaiter waits first until accepted records were seen, then until what was
// there at that moment has left.
type flushWaiter struct {
	accepted uint64
	ends     map[spool.LaneID]spool.Index // nil: still in the first part
	done     chan struct{}
}

func newProgress(rec *spool.Recovered, settled func(spool.LaneID) spool.Index) *progress {
	p := &progress{settled: settled, accepted: rec.Counters.Accepted, lanes: make(map[spool.LaneID]*laneProgress)}
	for i := range rec.Lanes {
		l := &rec.Lanes[i]
		p.lanes[l.ID] = &laneProgress{end: l.End, gone: l.Settled.Low()}
	}
	return p
}

// mark notes that the lane reaches to its end at this Age.
func (l *laneProgress) mark(age int64) {
	if n := len(l.marks); n > 0 && l.marks[0].end > l.gone && age < l.marks[n-1].age+l.every {
		l.marks[n-1].end = l.end
		return
	}
	l.oldest()
	if len(l.marks) == 0 {
		l.every = 100
	}
	l.marks = append(l.marks, mark{l.end, age})
	if len(l.marks) > maxMarks {
		for i := range maxMarks / 2 {
			l.marks[i] = mark{l.marks[2*i+1].end, l.marks[2*i].age}
		}
		l.marks = append(l.marks[:maxMarks/2], l.marks[maxMarks:]...)
		l.every *= 2
	}
}

// oldest is the Age since which the lane's oldest pending record has waited, about; ok is
// false if none does.
func (l *laneProgress) oldest() (age int64, ok bool) {
	gone := 0
	for gone < len(l.marks) && l.marks[gone].end <= l.gone {
		gone++
	}
	l.marks = append(l.marks[:0], l.marks[gone:]...)
	if len(l.marks) == 0 {
		return 0, false
	}
	return l.marks[0].age, true
}

// ages says how long each lane's oldest pending record has waited, and the oldest of them
// all. Pending is what the spool says: an ack counts when it is on disk.
func (p *progress) ages(now int64, lanes []bolt.LaneStats) (ages []int64, oldest int64) {
	ages = make([]int64, len(lanes))
	for i := range lanes {
		l := p.lanes[spool.LaneID(i)]
		if l == nil {
			continue // committed, and not received yet
		}
		l.gone = max(l.gone, lanes[i].Low)
		if age, ok := l.oldest(); ok && lanes[i].Counters.Pending() > 0 {
			ages[i] = max(now-age, 1)
			oldest = max(oldest, ages[i])
		}
	}
	return ages, oldest
}

func (p *progress) lane(id spool.LaneID) *laneProgress {
	l := p.lanes[id]
	if l == nil {
		l = &laneProgress{}
		p.lanes[id] = l
	}
	return l
}

func (p *progress) committed(c *spool.Committed, age int64) {
	for i := range c.Sections {
		l := p.lane(c.Sections[i].Lane)
		for _, sp := range c.Sections[i].Spans {
			p.accepted += uint64(sp.Len())
			l.end = max(l.end, sp.End)
		}
		l.mark(age)
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
		if p.settled(id) < l.end {
			ends[id] = l.end
		}
	}
	return ends
}

func (p *progress) gone(ends map[spool.LaneID]spool.Index) bool {
	for id, end := range ends {
		if p.settled(id) < end {
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
