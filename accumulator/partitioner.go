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

// stickyFor is the partition of the sticky run that entry i is in. At the frontier a
// new run begins when the current batch is full or its partition cannot be written.
func (l *Lane) stickyFor(a *Accumulator, i spool.Index, size int) int32 {
	s := l.facts.Sticky
	last := len(s) - 1
	if last < 0 || i >= l.frontier && i >= s[last].From {
		if last >= 0 {
			p := l.Partition(s[last].Partition)
			stuck := p.blocked && l.unblocked > 0
			// A run is a batch full; batches that linger sent half full add up to one.
			full := p.overflows(a, size) || p.Empty() && l.runBytes >= l.batchSize(a)
			if !stuck && !full || l.count == 1 {
				l.runBytes += size
				return p.ID
			}
		}
		f := spool.StickyFact{From: i, Partition: l.pick(a)}
		l.runBytes = size
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

// pick is the next sticky partition: of two at random among those that can be
// written, the one with less in its queue (after KIP-794's adaptive choice).
func (l *Lane) pick(a *Accumulator) int32 {
	x, y := l.draw(a), l.draw(a)
	if l.parts[y].queued < l.parts[x].queued {
		return y
	}
	return x
}

func (l *Lane) draw(a *Accumulator) int32 {
	if l.unblocked == 0 {
		return a.rng.Int32N(l.count)
	}
	k := a.rng.IntN(l.unblocked)
	for n, p := range l.parts {
		if !p.blocked {
			if k == 0 {
				return int32(n)
			}
			k--
		}
	}
	return 0
}
