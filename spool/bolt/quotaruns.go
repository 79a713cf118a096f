package bolt

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/spoold/spoold/spool"
)

// quotaRuns say what the pending entries of a lane take, to the byte: by commit, or by several of them.
type quotaRuns struct {
	list  []quotaRun // ascending, not overlapping
	bytes int64      // that they hold
	sizes int        // bytes that the sizes of all runs take
}

type quotaRun struct {
	spool.Span
	held int64 // bytes of entries that have not left; of an unknown run, no less than they take
	left int   // entries that have not left
	// each is the size of an entry, where all that have not left have the same one; 0: they may differ. Then sizes are those of all
	// entries of Span, as uvarints; 0 for one that had left before. nil: they are to be measured once some leave.
	each    int64
	sizes   []byte
	unknown bool // held is to be measured
}

// maxRuns bounds the runs of a lane: with more, neighbours become one. maxSizes bounds what is kept of the sizes of what was committed, and twice of
// it that of all: with more, a run is measured whenever some of it leave.
const (
	maxRuns  = 2048
	maxSizes = 1 << 20
)

// How many bytes of records are read to measure what is left of lanes: of each after a commit, of all at a start, and, of what a start
// has left over, at each look.
const (
	measureStep    = 64 << 20
	measureAtStart = 32 << 20
	measureLater   = 1 << 20
)

// add puts in entries that were committed: behind all others.
func (x *quotaRuns) add(sp spool.Span, section []byte) {
	r := quotaRun{Span: sp, left: sp.Len(), held: int64(len(section))}
	var sizes []byte
	for b := section; len(b) > 0; {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			sizes = nil // the reader will meet it
			break
		}
		sizes = binary.AppendUvarint(sizes, size+uint64(n))
		b = b[n+int(size):]
	}
	x.keep(&r, sizes, maxSizes)
	x.put(r)
}

// addUnmeasured puts in entries that take so many bytes in all: behind all others.
func (x *quotaRuns) addUnmeasured(sp spool.Span, bytes int64) {
	x.put(quotaRun{Span: sp, left: sp.Len(), held: bytes})
}

func (x *quotaRuns) put(r quotaRun) {
	x.list = append(x.list, r)
	x.bytes += r.held
	if len(x.list) > maxRuns {
		x.join()
	}
}

// keep keeps the sizes of a run's entries, if they differ, and those of all runs take no more than most bytes then.
func (x *quotaRuns) keep(r *quotaRun, sizes []byte, most int) {
	r.each = 0
	for b := sizes; len(b) > 0; {
		size, n := binary.Uvarint(b)
		b = b[n:]
		if size == 0 || int64(size) == r.each {
			continue
		}
		if r.each != 0 {
			if r.each = 0; x.sizes+len(sizes) <= most {
				r.sizes = sizes
				x.sizes += len(sizes)
			}
			return
		}
		r.each = int64(size)
	}
}

// join makes one run of two.
func (x *quotaRuns) join() {
	joined := x.list[:0]
	for i := 0; i < len(x.list); i += 2 {
		r := x.list[i]
		if i+1 < len(x.list) {
			next := &x.list[i+1]
			x.sizes -= len(r.sizes) + len(next.sizes)
			if r.sizes = nil; r.each != next.each {
				r.each = 0
			}
			r.Span, r.held, r.left, r.unknown = spool.Span{First: r.First, End: next.End}, r.held+next.held, r.left+next.left, r.unknown || next.unknown
		}
		joined = append(joined, r)
	}
	x.list = joined
}

// settle brings up to date what is left. It says which runs are to be measured: they hold what they held until then.
func (x *quotaRuns) settle(settled *spool.Set) (measure []spool.Span) {
	low := settled.Low()
	x.bytes = 0
	rest := x.list[:0]
	for _, r := range x.list {
		left := 0
		if r.End > low {
			left = r.Len() - settled.CountIn(r.Span)
		}
		if left == 0 {
			x.sizes -= len(r.sizes)
			continue
		}
		if left != r.left {
			switch r.left = left; {
			case r.each > 0:
				r.held = r.each * int64(left)
			case r.sizes != nil:
				r.held = r.sum(settled)
			default:
				r.unknown = true
			}
		}
		if r.unknown {
			measure = append(measure, r.Span)
		}
		x.bytes += r.held
		rest = append(rest, r)
	}
	clear(x.list[len(rest):])
	x.list = rest
	return measure
}

// sum is what the entries that have not left take.
func (r *quotaRun) sum(settled *spool.Set) (held int64) {
	i, next := r.First, settled.NextAbsent(r.First)
	for b := r.sizes; len(b) > 0; i++ {
		size, n := binary.Uvarint(b)
		if b = b[n:]; i == next {
			held += int64(size)
			next = settled.NextAbsent(i + 1)
		}
	}
	return held
}

// measured puts in the sizes of a run's entries that have not left.
func (x *quotaRuns) measured(sp spool.Span, sizes []byte, held int64) {
	at, found := slices.BinarySearchFunc(x.list, sp.First, func(r quotaRun, i spool.Index) int { return cmp.Compare(r.First, i) })
	if !found {
		return
	}
	r := &x.list[at]
	x.bytes += held - r.held
	r.held, r.unknown = held, false
	x.keep(r, sizes, 2*maxSizes) // more of it leave next, and would have it measured again
}

// measure reads what the entries of a lane take that have not left, about most bytes of them: what is left over holds what it held
// before until the next call. It returns how many bytes it could have read besides. The committer, or a start.
func (s *quotas) measure(q *quota, spans []spool.Span, most int64) (over int64) {
	for _, sp := range spans {
		if most <= 0 {
			return 0
		}
		s.view.RLock()
		settled := s.state.Settled(q.id)
		var at []spool.Index
		for i := settled.NextAbsent(sp.First); i < sp.End; i = settled.NextAbsent(i + 1) {
			at = append(at, i)
		}
		s.view.RUnlock()
		var sizes []byte
		held, next := int64(0), sp.First
		err := s.dead.heldEntries(q.id, at, func(i spool.Index, raw []byte) {
			for ; next < i; next++ {
				sizes = append(sizes, 0)
			}
			sizes = binary.AppendUvarint(sizes, uint64(len(raw)))
			held += int64(len(raw))
			next++
		})
		if err != nil {
			continue // the reader will meet it
		}
		most -= held
		s.view.Lock()
		q.runs.measured(sp, sizes, held)
		s.view.Unlock()
	}
	return max(most, 0)
}

// unmeasured are the runs that are to be measured.
func (x *quotaRuns) unmeasured() (list []spool.Span) {
	for i := range x.list {
		if x.list[i].unknown {
			list = append(list, x.list[i].Span)
		}
	}
	return list
}

// left counts bytes that are not a topic's any more. Under mu.
func (s *quotas) left(q *quota, bytes int64) {
	q.taken -= bytes
	if q.refused > 0 && q.taken+q.refused <= q.Bytes {
		q.refused = 0
		s.short--
	}
	if bytes > 0 {
		q.turns.callFirst()
	}
	s.crowd(q)
}

// first is one above the last of so many entries from index from on that they take need bytes, or all; 0: there are none.
func (x *quotaRuns) first(need int64, from spool.Index, settled *spool.Set) (end spool.Index) {
	for i := range x.list {
		r := &x.list[i]
		if r.End <= from {
			continue
		}
		each := max(r.held/int64(r.left), 1)
		if r.First >= from && r.held <= need {
			need -= r.held
			end = r.End
		} else {
			for i := settled.NextAbsent(max(r.First, from)); i < r.End && need > 0; i = settled.NextAbsent(i + 1) {
				need -= each
				end = i + 1
			}
		}
		if need <= 0 {
			break
		}
	}
	return end
}

// committed brings quotas up to date after a commit. Not under view.
func (s *quotas) committed(t *transaction, g *group) {
	if s.opt.Quota == nil {
		return
	}
	slices.Sort(t.left)
	left := slices.Compact(t.left)
	s.mu.Lock()
	list := make([]*quota, 0, len(left))
	for _, id := range left {
		if q := s.laneByID[id].quota; q != nil {
			list = append(list, q)
		}
	}
	s.mu.Unlock()
	before, freed, measure := make([]int64, len(list)), make([]int64, len(list)), make([][]spool.Span, len(list))
	s.view.Lock()
	for _, sect := range g.sections {
		if q := sect.lane.quota; q != nil {
			q.runs.add(spool.Span{First: sect.first, End: sect.first + spool.Index(sect.count)}, sect.buf[spool.BlockHeader:])
		}
	}
	if u := g.unitCommit; u != nil {
		s.addUnit(u)
	}
	for i, q := range list {
		before[i] = q.runs.bytes
		measure[i] = q.runs.settle(s.state.Settled(q.id))
	}
	s.view.Unlock()
	for i, q := range list {
		s.measure(q, measure[i], measureStep)
		freed[i] = before[i] - q.runs.bytes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range list {
		s.left(q, freed[i])
	}
	for _, sect := range g.sections { // what was appended can be dropped from now on
		if q := sect.lane.quota; q != nil {
			s.crowd(q)
		}
	}
	if u := g.unitCommit; u != nil {
		for _, q := range u.quotas {
			if q != nil {
				s.crowd(q)
			}
		}
	}
}

// addUnit puts in what a unit had staged, which is behind its first records. Under view.
func (s *quotas) addUnit(u *unitCommit) {
	for i, r := range u.runs {
		if q := u.quotas[i]; q != nil && r.Count > 1 {
			q.runs.addUnmeasured(spool.Span{First: r.First + 1, End: r.Span().End}, u.bytes[i])
		}
	}
}
