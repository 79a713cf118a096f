package bolt

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spoold/spoold/spool"
)

// remains says where the entries are that a damaged segment still has, and which that are needed it has not. Ascending.
func (im *image) remains(info *spool.SegmentInfo, st *spool.State) (kept []spool.Extent, lost map[spool.LaneID][]spool.Span) {
	lost = make(map[spool.LaneID][]spool.Span)
	lanes := im.index(unitRunsOf(st)).lanes
	for _, e := range info.Extents {
		here := spool.NewSet(0)
		if l := lanes[e.Lane]; l != nil {
			for i := range l.refs {
				for _, sp := range l.refs[i].entriesOf() {
					if sp.First, sp.End = max(sp.First, e.First), min(sp.End, e.End); sp.First < sp.End {
						here.Add(sp)
					}
				}
			}
		}
		for sp := range here.Spans {
			kept = append(kept, spool.Extent{Lane: e.Lane, Span: sp})
		}
		gone := st.Gone(e.Lane)
		if gone.CountIn(e.Span)+here.CountIn(e.Span) == 0 {
			lost[e.Lane] = append(lost[e.Lane], e.Span)
			continue
		}
		for i := e.First; i < e.End; i++ {
			if !here.Contains(i) && !gone.Contains(i) {
				lost[e.Lane] = addIndex(lost[e.Lane], i)
			}
		}
	}
	return kept, lost
}

// entriesOf are the entries of a section.
func (r *ref) entriesOf() []spool.Span {
	if r.spans != nil {
		return r.spans
	}
	return []spool.Span{r.span}
}

// setAside renames damaged segments, durably, and brings what they have lost into the state, for the first commit. What a kill leaves
// in between is found again by the next start: the list of segments says what it said.
func (s *opening) setAside(found *surveyed) error {
	for i := range found.damaged {
		d := &found.damaged[i]
		path, err := s.renameDamaged(d.info.Number)
		if err != nil {
			return err
		}
		if err := s.lose(d, path); err != nil {
			return err
		}
	}
	_, s.space.aside = damagedFiles(s.dir)
	if len(found.damaged) > 0 && s.state.Transaction().ID != "" {
		return s.divided(found)
	}
	return nil
}

// renameDamaged gives a damaged segment the name under which it is kept.
func (s *opening) renameDamaged(number uint64) (string, error) {
	from := segmentPath(s.dir, number)
	to := from + damagedSuffix
	s.opt.Faults.at("segment to be set aside")
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	s.opt.Faults.at("segment renamed aside")
	return to, s.dirFile.Sync()
}

// lose brings what one segment has lost into the state.
func (s *opening) lose(d *damagedSegment, path string) error {
	kept, lost := d.im.remains(&d.info, s.state)
	what := spool.SegmentDamage{Segment: d.info.Number, Path: path, What: d.why.What, Keys: int(d.info.Keys) - int(d.im.salvaged.Keys)}
	if d.why.Block != spool.NoBlock {
		what.What = fmt.Sprintf("block %d: %s", d.why.Block, what.What)
	}
	at, changes := s.clock.now().Wall, &s.t.changes
	for _, id := range slices.Sorted(maps.Keys(lost)) {
		for _, i := range s.lostDead(id, lost[id]) {
			s.state.ClearDead(id, i)
			what.Dead++
		}
		why := fmt.Sprintf("segment %d is damaged (%s)", d.info.Number, path)
		missing := countSpans(s.state.Missing(id))
		left, err := s.state.Lose(spool.Settlement{Lane: id, Spans: lost[id], Why: why, At: at}, changes)
		if err != nil {
			return err
		}
		what.Lost += countSpans(left)
		what.InDoubt += countSpans(s.state.Missing(id)) - missing
		for _, sp := range left {
			what.Gaps = append(what.Gaps, spool.Gap{Lane: id, Span: sp, Partition: -1, Outcome: spool.OutcomeLost, At: at, Why: why})
		}
	}
	info := d.info
	info.Damaged, info.Extents = true, kept
	n := d.im.salvaged
	info.Blocks, info.Sum, info.Keys, info.KeySum = n.Blocks, n.Sum, n.Keys, n.KeySum
	s.state.PutSegment(info, changes)
	for _, e := range kept {
		what.Kept += e.Len() - s.state.Gone(e.Lane).CountIn(e.Span)
	}
	s.damage = append(s.damage, what)
	audit := fmt.Sprintf("gap: segment %d is damaged (%s) and was set aside as %s: %d records are lost, %d more may have been delivered, %d dead letters are lost; %d records are kept",
		what.Segment, what.What, path, what.Lost, what.InDoubt, what.Dead, what.Kept)
	if what.Keys > 0 {
		audit += fmt.Sprintf("; %d commits' idempotency keys are lost: a repeat of one of them is taken as new", what.Keys)
	}
	return s.state.Apply(&spool.Write{Audit: []spool.AuditEntry{{At: at, What: audit}}}, changes)
}

// lostDead are the dead letters among lost entries.
func (s *opening) lostDead(id spool.LaneID, lost []spool.Span) (out []spool.Index) {
	s.state.EachDead(id, func(i spool.Index) {
		for _, sp := range lost {
			if i >= sp.First && i < sp.End {
				out = append(out, i)
			}
		}
	})
	return out
}

func countSpans(spans []spool.Span) (n int) {
	for _, sp := range spans {
		n += sp.Len()
	}
	return n
}

// explainDead makes marks for dead letters whose own are lost.
func (s *opening) explainDead() error {
	known := make(map[deadRef]bool, len(s.dead.marks))
	for _, m := range s.dead.marks {
		known[deadRef{m.Lane, m.Index}] = true
	}
	for i := range s.state.Lanes() {
		id := spool.LaneID(i)
		var at []spool.Index
		s.state.EachDead(id, func(i spool.Index) {
			if !known[deadRef{id, i}] {
				at = append(at, i)
			}
		})
		for _, i := range at {
			raw, err := s.DeadEntry(id, i)
			if err != nil {
				return err
			}
			e, _, err := spool.NextEntry(raw)
			if err != nil {
				return err
			}
			why := s.divide[deadRef{id, i}]
			if why == "" {
				why = "why is not known: the segment that said so is damaged"
			}
			letter := spool.DeadLetter{Lane: id, Index: i, Partition: e.Partition, Code: -1, Message: why, At: s.clock.now().Wall}
			s.t.marks = append(s.t.marks, spool.Mark{DeadLetter: letter, Serial: s.state.NextSerial(&s.t.changes), Bytes: int64(len(raw))})
		}
	}
	return nil
}
