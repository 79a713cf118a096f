package bolt

import (
	"cmp"
	"slices"

	"github.com/spoold/spoold/spool"
)

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
	most := int64(measureAtStart)
	for _, l := range s.laneByID {
		if q := l.quota; q != nil {
			slices.SortFunc(q.runs.list, func(a, b quotaRun) int { return cmp.Compare(a.First, b.First) })
			if most = s.quotas.measure(q, q.runs.settle(s.state.Settled(l.id)), most); most == 0 {
				s.quotas.rest = append(s.quotas.rest, q)
			}
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
			here := r.span
			for _, e := range listed(id) {
				if e.First < r.span.End && r.span.First < e.End {
					here = spool.Span{First: max(here.First, e.First), End: min(here.End, e.End)}
				}
			}
			count := 0
			for _, sp := range r.entriesOf() {
				count += max(int(min(sp.End, here.End))-int(max(sp.First, here.First)), 0)
			}
			if count > 0 {
				whole := here == r.span && count == here.Len()
				q.runs.list = append(q.runs.list, quotaRun{Span: here, held: int64(r.len), left: count, unknown: !whole})
			}
		}
	}
}

// measureRest goes on with what a start has left over, and reports whether there is more. The committer.
func (s *quotas) measureRest(most int64) bool {
	for len(s.rest) > 0 && most > 0 {
		q := s.rest[0]
		before := q.runs.bytes
		if most = s.measure(q, q.runs.unmeasured(), most); most > 0 {
			s.rest = s.rest[1:] // all of it is measured, or cannot be read
		}
		s.mu.Lock()
		s.left(q, before-q.runs.bytes)
		s.mu.Unlock()
	}
	return len(s.rest) > 0
}
