package spool

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// A unit that does not fit into one commit is staged: all but the first of its records for each topic are written
// into blocks of their own kind before it is committed. A section there says which of the unit's topics it is of, by its
// number in the unit, and which of the unit's entries for that topic it has, the first being 0. The unit's commit writes
// the first entries, with the mark that every unit has, and one pair of the state: the unit's number, and its runs
// by the number of the topic. From then on, and only while that pair is there, the staged entries are entries of their lanes.

// stagedUnits are the staged units that were committed and have not left wholly.
type stagedUnits struct {
	of    *State
	units map[uint64][]UnitRun
}

// PutUnit says that a staged unit was committed: runs are where its entries are, by the number of its topics. The first
// entry of each run is appended with Append, like any other; PutUnit appends the rest.
func (u *stagedUnits) PutUnit(number uint64, runs []UnitRun, out *Changes) {
	for _, r := range runs {
		u.of.Append(r.Lane, r.Count-1)
	}
	u.units[number] = slices.Clone(runs)
	out.put(unitKey(number), appendUnit(nil, runs))
}

// Units are the staged units that were committed and have not left wholly: the runs of each.
func (u *stagedUnits) Units() map[uint64][]UnitRun { return maps.Clone(u.units) }

// DropUnits forgets staged units of which no entry is needed any more.
func (u *stagedUnits) DropUnits(out *Changes) {
	for _, number := range slices.Sorted(maps.Keys(u.units)) {
		if u.gone(u.units[number]) {
			delete(u.units, number)
			out.delete(unitKey(number))
		}
	}
}

func (u *stagedUnits) gone(runs []UnitRun) bool {
	for _, r := range runs {
		gone := u.of.Gone(r.Lane)
		if !gone.Contains(r.First) || gone.CountIn(r.Span()) < r.Count {
			return false
		}
	}
	return true
}

func unitKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{prefixUnit}, number) }

func decodeUnit(v *dec) (runs []UnitRun) {
	for range v.upTo(MaxUnitRuns) {
		runs = append(runs, UnitRun{LaneID(v.upTo(1<<32 - 1)), Index(v.upTo(maxNumber)), int(v.upTo(1<<31 - 1))})
	}
	return runs
}

// checkUnits compares the units that were loaded with their lanes.
func (ld *Loader) checkUnits() error {
	for number, runs := range ld.st.units {
		for _, r := range runs {
			if l, err := ld.lane(r.Lane); err != nil {
				return err
			} else if r.Span().End > l.end {
				return fmt.Errorf("%w: unit %d over %v of %q, which ends at %d", errValue, number, r.Span(), l.topic, l.end)
			}
		}
	}
	return nil
}

// InLane is a staged section as one of its lane, now that the unit is committed. It reports false if the unit has
// no such entries.
func (s BlockSection) InLane(runs []UnitRun) (BlockSection, bool) {
	if int(s.Lane) >= len(runs) || len(s.Spans) != 1 || s.Spans[0].End > Index(runs[s.Lane].Count) {
		return s, false
	}
	r := runs[s.Lane]
	s.Lane, s.Unit = r.Lane, 0
	s.Spans = []Span{{First: r.First + s.Spans[0].First, End: r.First + s.Spans[0].End}}
	return s, true
}

// HasUnit reports whether a staged unit was committed and has not left wholly.
func (u *stagedUnits) HasUnit(number uint64) bool { return u.units[number] != nil }
