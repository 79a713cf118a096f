package bolt

import (
	"slices"

	"github.com/spoold/spoold/spool"
)

// quotaRuns say what the pending entries of a lane take: by commit, or by several of them. Within a run all entries count the same.
type quotaRuns struct {
	list  []quotaRun // ascending, not overlapping
	bytes int64      // of what is left of them
}

type quotaRun struct {
	spool.Span
	bytes int64 // of all entries
	count int   // entries; others of Span had left before
	left  int   // entries that have not left
}

// maxRuns bounds the runs of a lane: with more, neighbours become one.
const maxRuns = 2048

func (r *quotaRun) held() int64 {
	if r.left == r.count {
		return r.bytes
	}
	return r.bytes / int64(r.count) * int64(r.left)
}

// add puts in entries that were committed: behind all others, unless it is followed by sort.
func (x *quotaRuns) add(sp spool.Span, bytes int64, count int) {
	r := quotaRun{sp, bytes, count, count}
	x.list = append(x.list, r)
	x.bytes += r.held()
	if len(x.list) > maxRuns {
		x.join()
	}
}

// join makes one run of two.
func (x *quotaRuns) join() {
	joined := x.list[:0]
	x.bytes = 0
	for i := 0; i < len(x.list); i += 2 {
		r := x.list[i]
		if i+1 < len(x.list) {
			next := &x.list[i+1]
			// What has left counts no more: the others keep their sizes.
			r = quotaRun{spool.Span{First: r.First, End: next.End}, r.held() + next.held(), r.left + next.left, r.left + next.left}
		}
		if r.count == 0 {
			continue
		}
		joined = append(joined, r)
		x.bytes += r.held()
	}
	x.list = joined
}

// settle brings up to date what is left, and says how many bytes have left.
func (x *quotaRuns) settle(settled *spool.Set) (freed int64) {
	before := x.bytes
	x.bytes = 0
	low := settled.Low()
	x.list = slices.DeleteFunc(x.list, func(r quotaRun) bool { return r.End <= low })
	for i := range x.list {
		r := &x.list[i]
		r.left = min(r.left, r.Len()-settled.CountIn(r.Span))
		x.bytes += r.held()
	}
	x.list = slices.DeleteFunc(x.list, func(r quotaRun) bool { return r.left == 0 })
	return before - x.bytes
}

// first is one above the last of so many entries from index from on that they take need bytes, or all; 0: there are none.
func (x *quotaRuns) first(need int64, from spool.Index, settled *spool.Set) (end spool.Index) {
	for i := range x.list {
		r := &x.list[i]
		if r.End <= from {
			continue
		}
		each := max(r.bytes/int64(r.count), 1)
		if r.First >= from && r.held() <= need {
			need -= r.held()
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
	freed := make([]int64, len(list))
	s.view.Lock()
	for _, sect := range g.sections {
		if q := sect.lane.quota; q != nil {
			q.runs.add(spool.Span{First: sect.first, End: sect.first + spool.Index(sect.count)}, int64(len(sect.buf)-spool.BlockHeader), sect.count)
		}
	}
	if u := g.unitCommit; u != nil {
		s.addUnit(u)
	}
	for i, q := range list {
		freed[i] = q.runs.settle(s.state.Settled(q.id))
	}
	s.view.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range list {
		q.taken -= freed[i]
		if q.refused > 0 && q.taken+q.refused <= q.Bytes {
			q.refused = 0
			s.short--
		}
		if freed[i] > 0 {
			q.turns.callFirst()
		}
		s.crowd(q)
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
			q.runs.add(spool.Span{First: r.First + 1, End: r.Span().End}, u.bytes[i], r.Count-1)
		}
	}
}

// countQuotas finds out what the pending entries of lanes with a quota take. It reads the structure of all segments that hold some.
func (s *opening) countQuotas() error {
	if s.opt.Quota == nil {
		return nil
	}
	s.countIndex(s.active.index, func(spool.LaneID) []spool.Extent { return nil })
	for _, x := range s.sealed {
		if !slices.ContainsFunc(x.info.Extents, func(e spool.Extent) bool {
			return s.laneByID[e.Lane].quota != nil && s.state.Settled(e.Lane).CountIn(e.Span) < e.Len()
		}) {
			continue
		}
		if err := s.countSealed(x); err != nil {
			return err
		}
	}
	for _, l := range s.laneByID {
		if q := l.quota; q != nil {
			slices.SortFunc(q.runs.list, func(a, b quotaRun) int { return int(int64(a.First) - int64(b.First)) })
			q.runs.settle(s.state.Settled(l.id))
			for len(q.runs.list) > maxRuns {
				q.runs.join()
			}
			q.taken = q.runs.bytes
			s.quotas.crowd(q)
		}
	}
	return nil
}

func (s *opening) countSealed(x *sealed) error {
	if x.info.Damaged {
		x.mu.Lock()
		defer x.mu.Unlock()
		if err := x.load(); err != nil {
			return err
		}
		s.countIndex(x.index, x.lane)
		return nil
	}
	im, err := readFile(s.dir, x.info.Number, imageParts{})
	if err != nil {
		return err
	}
	s.countIndex(im.index(s.staging.units.runs), x.lane)
	return nil
}

// countIndex adds the sections of a segment. listed are the entries of a lane that are to be looked for there: what was carried to a
// newer one is not among them.
func (s *opening) countIndex(x *index, listed func(spool.LaneID) []spool.Extent) {
	for id, l := range x.lanes {
		q := s.laneByID[id].quota
		if q == nil {
			continue
		}
		for i := range l.refs {
			r := &l.refs[i]
			if r.dead {
				continue
			}
			here, all := r.span, 0
			for _, e := range listed(id) {
				if e.First < r.span.End && r.span.First < e.End {
					here = spool.Span{First: max(here.First, e.First), End: min(here.End, e.End)}
				}
			}
			count := 0
			for _, sp := range r.entriesOf() {
				all += sp.Len()
				count += max(int(min(sp.End, here.End))-int(max(sp.First, here.First)), 0)
			}
			if count > 0 {
				q.runs.list = append(q.runs.list, quotaRun{here, int64(r.len) * int64(count) / int64(all), count, count})
			}
		}
	}
}
