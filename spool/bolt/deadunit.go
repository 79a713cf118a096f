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

// ErrPartOfUnit: dead letters were to be sent again or dropped that are a part of a unit. Nothing was changed.
var ErrPartOfUnit = errors.New("the dead letters of a transaction or batch go together")

// deadItem is what is sent again or dropped together.
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

func (m *mark) ref() deadRef { return deadRef{m.Lane, m.Index} }

// deadUnit is a unit of which there are dead letters.
type deadUnit struct {
	runs    []spool.UnitRun
	letters []DeadLetter // as a deadItem has them
	asked   []DeadLetter // that are meant; in the same order
	count   int          // of the unit's records
}

// hasUnits reports whether the records of a unit go together: only readers of transactions see units.
func (s *deadLetters) hasUnits() bool {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.state.Transaction().ID != ""
}

// replayItems divides dead letters into what is sent again together. Without a transactional id each goes for itself, and so it
// does into another topic.
func (s *deadLetters) replayItems(list []DeadLetter, how *Replay) ([]deadItem, error) {
	var of map[deadRef]*deadUnit
	if how.Topic == "" && s.hasUnits() {
		var err error
		if of, err = s.unitsAmong(s.alike(list)); err != nil {
			return nil, err
		}
	}
	items, parts := itemsOf(list, of, func(u *deadUnit) []DeadLetter {
		switch {
		case len(u.asked) == u.count || how.DivideUnits:
			return u.asked
		case how.WholeUnits && len(u.letters) == u.count:
			return u.letters
		}
		return nil
	})
	if len(parts) > 0 {
		what := "--divide-units sends what was asked for without the others"
		if len(parts[0].letters) == parts[0].count {
			what = "--whole-units sends the others with it, " + what
		}
		return nil, partError(parts, what)
	}
	return items, nil
}

// dropItems divides dead letters into what is dropped together. A unit of which there is no other dead letter is whole.
func (s *deadLetters) dropItems(list []DeadLetter, how Drop) ([]deadItem, error) {
	var of map[deadRef]*deadUnit
	if !how.DivideUnits && s.hasUnits() {
		among := s.alike(list)
		if len(among) == len(list) && len(list) <= dropStep {
			return []deadItem{{list}}, nil // nothing of any unit can be left
		}
		var err error
		if of, err = s.unitsAmong(among); err != nil {
			return nil, fmt.Errorf("which transactions and batches the dead letters are of cannot be read (--divide-units drops them without): %w", err)
		}
	}
	items, parts := itemsOf(list, of, func(u *deadUnit) []DeadLetter {
		if how.WholeUnits || len(u.asked) == len(u.letters) {
			return u.letters
		}
		return nil
	})
	if len(parts) > 0 {
		return nil, partError(parts, "--whole-units drops the others with it, --divide-units drops what was asked for without the others, which are not whole any more then")
	}
	return items, nil
}

// itemsOf divides dead letters, in the order of their numbers, into what goes together: of a unit what choose says. Units of
// which it says nothing are parts.
func itemsOf(list []DeadLetter, of map[deadRef]*deadUnit, choose func(*deadUnit) []DeadLetter) (items []deadItem, parts []*deadUnit) {
	asked := make(map[deadRef]bool, len(list))
	for i := range list {
		asked[list[i].ref()] = true
	}
	for i := range list {
		u := of[list[i].ref()]
		if u == nil {
			items = append(items, deadItem{list[i : i+1]})
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
		if letters := choose(u); letters != nil {
			items = append(items, deadItem{letters})
		} else {
			parts = append(parts, u)
		}
	}
	return items, parts
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

// partError says which unit is asked for in part, what is missing, and what may be done.
func partError(parts []*deadUnit, what string) error {
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
	if gone := u.count - len(u.letters); gone > 0 {
		why += fmt.Sprintf("; no dead letters any more: %d", gone)
	}
	if n := len(parts) - 1; n > 0 {
		why += fmt.Sprintf("; and so with %d more transactions or batches", n)
	}
	return fmt.Errorf("%w: %s. Nothing was changed: %s", ErrPartOfUnit, why, what)
}
