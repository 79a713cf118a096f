package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// ErrPartOfUnit: dead letters were to be sent again that are a part of a unit. Nothing was changed.
var ErrPartOfUnit = errors.New("the dead letters of a transaction or batch go together")

// deadItem is what is sent again together.
type deadItem struct {
	letters []DeadLetter // several: a unit, by topic and in the order of their places
}

func (it *deadItem) isUnit() bool { return len(it.letters) > 1 }

// marks is at most what it takes to mark the entries as a unit.
func (it *deadItem) marks() int {
	lanes := 1
	for i := range it.letters[1:] {
		if it.letters[i].Lane != it.letters[i+1].Lane {
			lanes++
		}
	}
	return lanes * spool.UnitSize(lanes)
}

func (it *deadItem) size() (n int) {
	for i := range it.letters {
		n += int(it.letters[i].Bytes)
	}
	if it.isUnit() {
		n += it.marks()
	}
	return n
}

func (d *DeadLetter) ref() deadRef { return deadRef{d.Lane, d.Index} }

// deadUnit is a unit of which there are dead letters.
type deadUnit struct {
	runs    []spool.UnitRun
	letters []DeadLetter // as a deadItem has them
	asked   []DeadLetter // that are to be sent again; in the same order
	count   int          // of the unit's records
}

// items divides dead letters, in the order of their numbers, into what goes together. Without a transactional id each goes for
// itself, and so it does into another topic.
func (s *deadLetters) items(list []DeadLetter, how *Replay) ([]deadItem, error) {
	s.view.RLock()
	units := how.Topic == "" && s.state.Transaction().ID != ""
	s.view.RUnlock()
	var of map[deadRef]*deadUnit
	if units {
		var err error
		if of, err = s.unitsAmong(s.alike(list)); err != nil {
			return nil, err
		}
	}
	asked := make(map[deadRef]bool, len(list))
	for i := range list {
		asked[list[i].ref()] = true
	}
	var out []deadItem
	var parts []*deadUnit
	for i := range list {
		u := of[list[i].ref()]
		if u == nil {
			out = append(out, deadItem{list[i : i+1]})
			continue
		}
		if u.asked != nil {
			continue
		}
		for k := range u.letters {
			if asked[u.letters[k].ref()] {
				u.asked = append(u.asked, u.letters[k])
			}
		}
		switch {
		case len(u.asked) == u.count || how.DivideUnits:
			out = append(out, deadItem{u.asked})
		case how.WholeUnits && len(u.letters) == u.count:
			out = append(out, deadItem{u.letters})
		default:
			parts = append(parts, u)
		}
	}
	if len(parts) > 0 {
		return nil, partError(parts)
	}
	return out, nil
}

// alike are the dead letters among which the other records of list's units are: a unit's became dead letters at one moment, for one reason.
func (s *deadLetters) alike(list []DeadLetter) []DeadLetter {
	type event struct {
		at   int64
		code protocol.ErrorCode
	}
	events := make(map[event]bool)
	for i := range list {
		events[event{list[i].At, list[i].Code}] = true
	}
	return slices.DeleteFunc(s.DeadLetters(DeadFilter{}, -1), func(d DeadLetter) bool { return !events[event{d.At, d.Code}] })
}

// unitsAmong finds the units of dead letters: by each of them that is of one.
func (s *deadLetters) unitsAmong(letters []DeadLetter) (map[deadRef]*deadUnit, error) {
	letters = slices.Clone(letters)
	slices.SortFunc(letters, func(a, b DeadLetter) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Index, b.Index))
	})
	found := make(map[deadRef]*deadUnit) // by each of its firsts
	var damage error
	err := s.eachDeadEntry(letters, func(ref deadRef, raw []byte) {
		e, _, err := spool.NextEntry(raw)
		if err != nil {
			damage = cmp.Or(damage, err)
			return
		}
		runs := e.Runs()
		if len(runs) == 0 || found[ref] != nil {
			return
		}
		u := &deadUnit{runs: runs}
		for _, r := range runs {
			u.count += r.Count
			found[deadRef{r.Lane, r.First}] = u
		}
	})
	if err = cmp.Or(err, damage); err != nil {
		return nil, err
	}
	of := make(map[deadRef]*deadUnit)
	for _, u := range found {
		if len(u.letters) > 0 {
			continue // it has several firsts
		}
		for _, r := range u.runs {
			from := placeOf(letters, deadRef{r.Lane, r.First})
			for i := from; i < len(letters) && letters[i].Lane == r.Lane && letters[i].Index < r.Span().End; i++ {
				u.letters = append(u.letters, letters[i])
				of[letters[i].ref()] = u
			}
		}
	}
	return of, nil
}

// placeOf is where ref is among letters, or would be. They are sorted.
func placeOf(letters []DeadLetter, ref deadRef) int {
	at, _ := slices.BinarySearchFunc(letters, ref, func(d DeadLetter, ref deadRef) int {
		return cmp.Or(cmp.Compare(d.Lane, ref.lane), cmp.Compare(d.Index, ref.index))
	})
	return at
}

// eachDeadEntry calls yield with the entries of dead letters, lane by lane, each section read once.
func (s *deadLetters) eachDeadEntry(letters []DeadLetter, yield func(deadRef, []byte)) error {
	byLane := make(map[spool.LaneID][]spool.Index)
	for i := range letters {
		byLane[letters[i].Lane] = append(byLane[letters[i].Lane], letters[i].Index)
	}
	for lane, at := range byLane {
		slices.Sort(at)
		if err := s.heldEntries(lane, at, func(i spool.Index, raw []byte) { yield(deadRef{lane, i}, raw) }); err != nil {
			return err
		}
	}
	return nil
}

// partError says which unit is asked for in part, and what is missing.
func partError(parts []*deadUnit) error {
	u := parts[0]
	var rest []string
	asked := u.asked // in the order of letters
	for i := range u.letters {
		if len(asked) > 0 && asked[0].Serial == u.letters[i].Serial {
			asked = asked[1:]
			continue
		}
		rest = append(rest, fmt.Sprint(u.letters[i].Serial))
	}
	why := fmt.Sprintf("number %d is of one with %d records", u.asked[0].Serial, u.count)
	if n := len(rest); n > 0 {
		shown := strings.Join(rest[:min(n, 10)], ", ")
		if n > 10 {
			shown += fmt.Sprintf(" and %d more", n-10)
		}
		why += fmt.Sprintf("; not asked for: %s", shown)
	}
	gone := u.count - len(u.letters)
	if gone > 0 {
		why += fmt.Sprintf("; no dead letters any more: %d", gone)
	}
	if n := len(parts) - 1; n > 0 {
		why += fmt.Sprintf("; and so with %d more transactions or batches", n)
	}
	what := "--divide-units sends what was asked for without the others"
	if gone == 0 {
		what = "--whole-units sends the others with it, " + what
	}
	return fmt.Errorf("%w: %s. Nothing was changed: %s", ErrPartOfUnit, why, what)
}
