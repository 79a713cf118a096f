package accumulator

import (
	"sort"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// choose is the partitioner: explicit, by key, or sticky.
func (l *Lane) choose(a *Accumulator, i spool.Index, e *spool.Entry) *Partition {
	switch {
	case e.Partition >= 0:
		return l.Partition(e.Partition)
	case !a.cfg.Partitioner.Sticks(e.Key, e.HasKey):
		return l.Partition(a.cfg.Partitioner.Choose(e.Key, uint64(i), l.countAt(a, i)))
	}
	return l.Partition(l.stickyFor(a, i, len(e.Body)+spool.RecordHead))
}

// PlacedAt is the partition that entry i belongs to, as far as that is decided: by the record itself, or by the lane's
// facts. It decides nothing.
func (l *Lane) PlacedAt(p protocol.Partitioner, i spool.Index, e *spool.Entry) (n int32, ok bool) {
	if e.Partition >= 0 {
		return e.Partition, true
	}
	if i >= l.frontier {
		return 0, false
	}
	if !p.Sticks(e.Key, e.HasKey) {
		c := l.facts.Counts
		at := sort.Search(len(c), func(k int) bool { return c[k].From > i }) - 1
		if at < 0 {
			return 0, false
		}
		return p.Choose(e.Key, uint64(i), c[at].Count), true
	}
	s := l.facts.Sticky
	at := sort.Search(len(s), func(k int) bool { return s[k].From > i }) - 1
	if at < 0 {
		return 0, false
	}
	return s[at].Partition, true
}

// countAt is the number of partitions that keys of entry i are spread over.
func (l *Lane) countAt(a *Accumulator, i spool.Index) int32 {
	c := l.facts.Counts
	last := len(c) - 1
	if last < 0 || i >= l.frontier && i >= c[last].From && c[last].Count != l.count {
		f := spool.CountFact{From: i, Count: l.count}
		if last < 0 {
			f.From = 0
		}
		l.facts.Counts = append(l.facts.Counts, f)
		l.freshFact(a)
		l.fresh.Counts = append(l.fresh.Counts, f)
		return l.count
	}
	for last > 0 && c[last].From > i {
		last--
	}
	return c[last].Count
}

// freshFact notes that the lane has facts that no Write holds.
func (l *Lane) freshFact(a *Accumulator) {
	if len(l.fresh.Counts)+len(l.fresh.Sticky) == 0 {
		a.fresh = append(a.fresh, l)
	}
}

// runOver reports whether a sticky run has had its share: batch.size bytes and no batch that takes one more record (a half full one
// would be left behind), or twice as many. opens says that the next record opens a batch.
func (l *Lane) runOver(a *Accumulator, opens bool) bool {
	share := l.batchSize(a)
	return opens && l.runBytes >= share || l.runBytes >= 2*share
}

// addRun counts a record of size bytes in the sticky run, and the header of the batch that it opens.
func (l *Lane) addRun(size int, opens bool) {
	if opens {
		size += protocol.BatchHeaderSize
	}
	l.runBytes += size
}

// stickyFor is the partition of the sticky run that entry i is in. At the frontier a
// new run begins when the current one is over or its partition cannot be written.
func (l *Lane) stickyFor(a *Accumulator, i spool.Index, size int) int32 {
	s := l.facts.Sticky
	last := len(s) - 1
	if last < 0 || i >= l.frontier && i >= s[last].From {
		if last >= 0 {
			p := l.Partition(s[last].Partition)
			stuck := p.blocked && l.unblocked > 0
			if opens := p.Empty() || p.overflows(a, size); !stuck && !l.runOver(a, opens) || l.count == 1 {
				l.addRun(size, opens)
				return p.ID
			}
			p.finish()
		}
		f := spool.StickyFact{From: i, Partition: l.pick(a)}
		l.runBytes = 0
		l.addRun(size, true)
		if last >= 0 && s[last].Partition == f.Partition {
			return f.Partition
		}
		l.facts.Sticky = append(s, f)
		l.freshFact(a)
		l.fresh.Sticky = append(l.fresh.Sticky, f)
		l.stickyAt = last + 1
		return f.Partition
	}
	k := l.stickyAt
	if k > last || s[k].From > i || k < last && s[k+1].From <= i {
		k = max(sort.Search(len(s), func(k int) bool { return s[k].From > i })-1, 0)
		l.stickyAt = k
	}
	return s[k].Partition
}

// prune forgets sticky runs that lie wholly below settled.
func (l *Lane) prune(settled spool.Index) {
	s := l.facts.Sticky
	k := 0
	for k+1 < len(s) && s[k+1].From <= settled {
		k++
	}
	if k < 64 && k < len(s)/2 || k == 0 {
		return
	}
	l.facts.Sticky = append(s[:0:0], s[k:]...)
	l.stickyAt = max(l.stickyAt-k, 0)
}
