package spool

import (
	"fmt"
	"slices"
	"sort"
)

// AgeMark says how old entries of a lane are: those from First up to the next mark's First were committed at Age (spool
// clock, ms) or before.
type AgeMark struct {
	First Index
	Age   int64
}

// maxAgeMarks bounds how many are kept of a lane: with more, the two oldest become one, of the later Age.
const maxAgeMarks = 128

// ages are the marks of the lanes: kept only while records are dropped by age.
type ages struct{ of *State }

// MarkAge notes, after Append, that the entries of a lane from first on were committed at now. A mark is for entries of so many
// ms. With every 0 nothing is to be kept.
func (x *ages) MarkAge(id LaneID, first Index, now, every int64) {
	l := x.of.lanes[id]
	switch n := len(l.ages); {
	case every <= 0:
		if n == 0 {
			return
		}
		l.ages = nil
	case n > 0 && now <= l.ages[n-1].Age:
		return
	default:
		l.ages = append(l.ages, AgeMark{first, now + every})
		if n == maxAgeMarks {
			l.ages[1].First = l.ages[0].First
			l.ages = slices.Delete(l.ages, 0, 1)
		}
	}
	l.dirty, l.dirtyAges = true, true
}

// BeginAges marks what waits in a spool that is opened and of which it is not known when it was committed: it counts from now.
// With every 0 nothing is to be kept.
func (x *ages) BeginAges(now, every int64) {
	for _, l := range x.of.lanes {
		if every <= 0 {
			x.MarkAge(l.id, l.end, now, 0)
			continue
		}
		if low := l.settled.Low(); low < l.end && len(l.ages) == 0 {
			x.MarkAge(l.id, low, now, every)
		}
	}
}

// Aged is one above the last entry of a lane that was committed, with all before it, at before (spool clock, ms) or earlier.
func (x *ages) Aged(id LaneID, before int64) (end Index) {
	l := x.of.lanes[id]
	for i, m := range l.ages {
		if m.Age > before {
			break
		}
		if end = l.end; i+1 < len(l.ages) {
			end = l.ages[i+1].First
		}
	}
	return end
}

// Waited is for how many ms the entry of a lane at first has waited, at now. aged is what Aged says of the lane: where marks are kept, they say
// it, and it is no more than it is. Else the entry's timestamp says it. That may be a caller's, of any time, or of a clock that was
// wrong: no entry has waited for longer than its spool is old.
func Waited(now Time, first Index, aged func(before int64) Index, stamp int64) int64 {
	if aged(now.Age) <= first {
		return min(max(now.Wall-stamp, 0), now.Age)
	}
	return now.Age - int64(sort.Search(int(now.Age), func(before int) bool { return aged(int64(before)) > first })) // it was committed then, or before
}

// pruneAges forgets marks under which nothing waits.
func (l *laneState) pruneAges() {
	low, gone := l.settled.Low(), 0
	for i := range l.ages {
		end := l.end
		if i+1 < len(l.ages) {
			end = l.ages[i+1].First
		}
		if end > low {
			break
		}
		gone++
	}
	if gone > 0 {
		l.ages = slices.Delete(l.ages, 0, gone)
		l.dirty, l.dirtyAges = true, true
	}
}

// flushAges adds the marks if they have changed.
func (l *laneState) flushAges(out *Changes) {
	if !l.dirtyAges {
		return
	}
	l.dirtyAges = false
	key := key32(prefixAges, l.id)
	if len(l.ages) == 0 {
		out.delete(key)
		return
	}
	e := newEnc()
	e.u64(uint64(len(l.ages)))
	for _, m := range l.ages {
		e.u64(uint64(m.First))
		e.u64(uint64(m.Age))
	}
	out.put(key, e.b)
}

func decodeAges(v *dec) (out []AgeMark) {
	for range v.upTo(maxAgeMarks) {
		m := AgeMark{Index(v.upTo(maxNumber)), int64(v.upTo(maxNumber))}
		if n := len(out); n > 0 && (m.First < out[n-1].First || m.Age <= out[n-1].Age) {
			v.fail()
		}
		out = append(out, m)
	}
	return out
}

// putAges gives the lanes the marks that were loaded.
func (ld *Loader) putAges() error {
	for id, list := range ld.ages {
		l, err := ld.lane(id)
		if err != nil {
			return err
		}
		if n := len(list); n == 0 || list[n-1].First > l.end {
			return fmt.Errorf("%w: ages of %q", errValue, l.topic)
		}
		l.ages = list
	}
	return nil
}
