package bolt

import (
	"fmt"
	"os"
	"slices"

	"github.com/spoold/spoold/spool"
)

// divided moves to the dead letters what is left of units that damage has divided: nobody may see a part of one.
func (s *opening) divided(found *surveyed) error {
	lost := make(map[spool.LaneID]*spool.Set)
	for i := range s.damage {
		for _, g := range s.damage[i].Gaps {
			if lost[g.Lane] == nil {
				lost[g.Lane] = spool.NewSet(0)
			}
			lost[g.Lane].Add(g.Span)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	left := make(map[spool.LaneID]*spool.Set)
	err := s.eachUnit(found, func(runs []spool.UnitRun) {
		if slices.ContainsFunc(runs, func(r spool.UnitRun) bool { return lost[r.Lane] != nil && lost[r.Lane].CountIn(r.Span()) > 0 }) {
			for _, r := range runs {
				if left[r.Lane] == nil {
					left[r.Lane] = spool.NewSet(0)
				}
				left[r.Lane].Add(r.Span())
			}
		}
	})
	if err != nil {
		return err
	}
	return s.moveDivided(left)
}

// moveDivided makes the entries of left that are still there dead letters.
func (s *opening) moveDivided(left map[spool.LaneID]*spool.Set) error {
	why := "other records of its transaction or batch are lost: a segment is damaged"
	w := &spool.Write{}
	s.divide = make(map[deadRef]string)
	for id, set := range left {
		for sp := range set.Spans {
			for i := sp.First; i < min(sp.End, s.state.End(id)); i++ {
				if s.state.Settled(id).Contains(i) || slices.ContainsFunc(s.state.Missing(id), func(m spool.Span) bool { return i >= m.First && i < m.End }) {
					continue
				}
				s.divide[deadRef{id, i}] = why
				w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Lane: id, Index: i})
				w.Settle = append(w.Settle, spool.Settlement{Lane: id, Spans: []spool.Span{{First: i, End: i + 1}}, Outcome: spool.OutcomeDeadLettered})
			}
		}
	}
	if len(w.DeadLetters) == 0 {
		return nil
	}
	s.damage[0].Divided = len(w.DeadLetters)
	w.Audit = []spool.AuditEntry{{At: s.clock.now().Wall, What: fmt.Sprintf("%d records were moved to the dead letters: %s", len(w.DeadLetters), why)}}
	return s.state.Apply(w, &s.t.changes)
}

// eachUnit calls yield with every unit of which the first entry of a lane is in a segment and has not left.
func (s *opening) eachUnit(found *surveyed, yield func([]spool.UnitRun)) error {
	for _, runs := range s.state.Units() {
		yield(runs)
	}
	for _, info := range s.state.Segments() {
		x := newSealed(s.dir, info, s.state, &s.staging.units)
		if err := x.load(); err != nil {
			return err
		}
		err := s.unitsOf(x.file, x.index, yield)
		x.unload()
		if err != nil {
			return err
		}
	}
	f, err := os.Open(segmentPath(s.dir, found.number))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return s.unitsOf(f, found.index, yield)
}

func (s *opening) unitsOf(f *os.File, index *index, yield func([]spool.UnitRun)) error {
	var buf []byte
	for id, l := range index.lanes {
		for i := range l.refs {
			r := &l.refs[i]
			if r.left(s.state.Gone(id)) {
				continue
			}
			if cap(buf) < r.len {
				buf = make([]byte, r.len)
			}
			sect := spool.Section{Lane: id, Spans: r.entriesOf(), Bytes: buf[:r.len]}
			if _, err := f.ReadAt(sect.Bytes, r.block.offset+int64(r.off)); err != nil {
				return err
			}
			err := eachEntry(&sect, func(i spool.Index, raw []byte) {
				if e, _, err := spool.NextEntry(raw); err == nil && e.Runs() != nil && !s.state.Settled(id).Contains(i) {
					yield(e.Runs())
				}
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
