package bolt

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

// deadLimit is how many bytes the entries of dead letters may take.
func (s *deadLetters) deadLimit() int64 {
	if s.opt.DeadBytes != 0 {
		return s.opt.DeadBytes
	}
	return s.space.limit / 4
}

// deadFull reports whether there is to be no further dead letter: they take all that they may, or of a full spool all that is left. The
// committer only.
func (s *deadLetters) deadFull() bool {
	return s.opt.DeadBlock && (s.deadBytes >= s.deadLimit() || s.deadBytes > 0 && s.space.spent())
}

// share says how much of own bytes dead letters take, where that is so much that an operator should look. Under view, or the committer.
func (s *deadLetters) share(own int64) string {
	if s.deadBytes == 0 || s.deadBytes < own/8 {
		return ""
	}
	return fmt.Sprintf("; dead letters take %s: replay or drop some of them (spoold dlq)", sizeText(s.deadBytes))
}

// deadExcess is that the dead letters of a commit leave too little room to those that are there.
type deadExcess struct {
	limit int64  // what all of them may take
	why   string // it is so
	// units of those of the oldest dead letters that are the first of one. A unit's have rising numbers without a gap, in each lane
	// in the order of their places, so the oldest of them is a first.
	units map[deadRef][]spool.UnitRun
}

// excess finds whether the dead letters of writes leave too little room to those that are there, and of which units the oldest are;
// nil: they do not. Units are read: an entry that cannot be is taken for one of none. The committer only.
func (s *deadLetters) excess(writes []*spool.Write, sizes map[deadRef]int64) *deadExcess {
	total, some := s.deadBytes, false
	for _, w := range writes {
		for i := range w.DeadLetters {
			total, some = total+sizes[deadRef{w.DeadLetters[i].Lane, w.DeadLetters[i].Index}], true
		}
	}
	if !some || s.opt.DeadBlock {
		return nil
	}
	x := &deadExcess{limit: s.deadLimit()}
	x.why = fmt.Sprintf("dlq.max.bytes (%d) allows no more", x.limit)
	if s.space.spent() && s.deadBytes < x.limit {
		// Many at once: a record of each drop is kept in the state, which is to become no larger.
		x.limit, x.why = s.deadBytes-s.deadBytes/16, fmt.Sprintf("spool.max.bytes (%d) leaves no room for more", s.opt.MaxBytes)
	}
	if total <= x.limit {
		return nil
	}
	if !s.hasUnits() {
		return x
	}
	var oldest []DeadLetter
	for _, m := range s.marks {
		if total <= x.limit {
			break
		}
		total -= m.Bytes
		oldest = append(oldest, DeadLetter{Mark: m.Mark})
	}
	x.units = make(map[deadRef][]spool.UnitRun)
	_ = s.eachDeadEntry(oldest, func(ref deadRef, raw []byte) {
		if e, _, err := spool.NextEntry(raw); err == nil {
			if runs := e.Runs(); len(runs) > 0 {
				x.units[ref] = runs
			}
		}
	})
	return x
}

// limitDead gives up the oldest dead letters if they take too much, each with its unit, and leaves a record of it. Under view.
func (s *deadLetters) limitDead(t *transaction) {
	x := t.excess
	if x == nil {
		return
	}
	total := s.deadBytes
	for i := range t.marks {
		total += t.marks[i].Bytes
	}
	n := 0
	for n < len(s.marks) && total > x.limit {
		for runs, one := x.units[s.marks[n].ref()], true; n < len(s.marks) && (one || inUnit(runs, s.marks[n].ref())); n++ {
			total, one = total-s.marks[n].Bytes, false
		}
	}
	if n == 0 {
		return
	}
	first, last := s.marks[0].Serial, s.marks[n-1].Serial
	refs := make([]deadRef, 0, n)
	for _, m := range s.marks[:n] {
		refs = append(refs, m.ref())
	}
	s.clearDead(t, refs)
	t.deadDropped = len(refs)
	what := fmt.Sprintf("gap: %d dead letters dropped, numbers %d to %d: %s", n, first, last, x.why)
	_ = s.state.Apply(&spool.Write{Audit: []spool.AuditEntry{{At: s.clock.now().Wall, What: what}}}, &t.changes) // it names no lane: it cannot fail
}

func inUnit(runs []spool.UnitRun, ref deadRef) bool {
	return slices.ContainsFunc(runs, func(r spool.UnitRun) bool {
		return r.Lane == ref.lane && r.First <= ref.index && ref.index < r.Span().End
	})
}
