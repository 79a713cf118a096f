package crashstates

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Plan says which states of a case are made. Between two syncs changes come one by one, and each can
// be kept or lost with any of those before it.
type Plan struct {
	// All: nothing is drawn. Every subset of everything that waits is made at every moment, and a moment at
	// which that would be more than 2^Units is an error. Else changes from before the last sync, of names mostly, are drawn once
	// between two syncs.
	All bool
	// Units is for how many pieces (sectors, sizes, names) all subsets are made. Where there are more, it is all
	// subsets of whole changes, with the last one torn at each sector, if there are at most Changes.
	// Where there are more changes: the first ones, with the last one torn at each sector.
	Units, Changes int
	// After: only states after the last Restart.
	After bool
	// Samples is how many states more are drawn at each change, for which there is no such limit.
	Samples int
}

// The plans.
var (
	Exhaustive      = Plan{All: true, Units: 24}
	ExhaustiveAfter = Plan{All: true, Units: 24, After: true}
	Mixed           = Plan{Units: 8, Changes: 6, Samples: 8}
	MixedAfter      = Plan{Units: 8, Changes: 6, Samples: 8, After: true}
)

// How a state came about.
const (
	bySubset  = "every subset of the sectors that waited"
	byChanges = "every subset of the changes that waited, the last one torn at every sector"
	byPrefix  = "the first changes, the last one torn at every sector"
	byChance  = "drawn"
)

// State is one state of the disk, ready in the walk's frame.
type State struct {
	Number int // from 0; the same in every walk of the same case and plan
	Line   int // the power is cut here
	How    string
	Kept   Kept
}

// walk makes the states of a case, each once, along its trace.
type walk struct {
	c    *Case
	plan Plan
	d    *Disk
	h    *History
	fr   *frame

	// Take gets each state. It says after which step the spool was, or none if it did not look.
	take func(*State) int
	// stale gets the number of a state that was found after a step that is not allowed any more.
	stale func(number, line, step int)

	number  int
	found   map[uint64]finding // by sum, since the last start of a life
	between []finding          // since the last sync
	since   int                // last change before the last sync
	last    int                // last change whose states are made
	from    int                // the first step that was allowed when between was judged last
	drawn   Kept               // of what was there before the last sync
	line    int
}

// finding is what was made of a state.
type finding struct{ number, step int }

const none = -1

var errTooMany = errors.New("crashstates: too many to make every state")

func newWalk(c *Case, plan Plan, lies Lies) (*walk, error) {
	w := &walk{c: c, plan: plan, d: c.Disk(lies), h: NewHistory(c.Script), found: map[uint64]finding{}}
	for _, mark := range c.marks {
		if err := w.h.Take(mark); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// run goes along the whole trace.
func (w *walk) run() error {
	marks, base, after := 0, none, 0
	for i := range w.c.Events {
		if e := &w.c.Events[i]; w.plan.After && e.Kind == Restart {
			after = e.Start
		}
	}
	for _, w.line = range w.c.moments() {
		w.d.Advance(w.line)
		born := false
		for ; marks < len(w.d.Marks); marks++ {
			mark := string(w.d.Marks[marks].Data)
			if err := w.h.Take(mark); err != nil {
				return err
			}
			born = born || mark[0] == 'r'
		}
		if w.line < after {
			continue
		}
		if born {
			clear(w.found) // steps have other numbers now
		}
		var err error
		if born || base != w.d.base {
			base = w.d.base
			err = w.begin()
		} else if w.d.Seq() > w.last {
			w.fr = w.d.frame()
			err = w.states()
		}
		if err != nil {
			return err
		}
		w.judge()
	}
	return nil
}

// moments are the lines at which something begins, or becomes safe.
func (c *Case) moments() []int {
	var out []int
	for i := range c.Events {
		e := &c.Events[i]
		out = append(out, e.Start)
		if e.isSync() && e.End != never {
			out = append(out, e.End)
		}
	}
	slices.SortFunc(out, cmp.Compare)
	return slices.Compact(out)
}

// rng is for what is drawn at a moment.
func (w *walk) rng(what uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.c.Script.Seed^what<<56, uint64(w.line)))
}

// begin begins after a sync: what still waits is old.
func (w *walk) begin() error {
	w.fr = w.d.frame()
	w.between = w.between[:0]
	w.since = w.d.Seq()
	if w.plan.All {
		w.since, w.last = 0, 0
		return w.states()
	}
	w.drawn = make(Kept, len(w.fr.units))
	w.fr.draw(w.drawn, w.rng(1), 0)
	w.last = w.since
	w.made(w.drawn, byChance)
	return nil
}

// states makes the states that the changes since w.last have made possible.
func (w *walk) states() error {
	old, before := 0, 0 // units, groups: from before the last sync, from before w.last
	for _, g := range w.fr.groups {
		if g.seq <= w.since {
			old = g.to
		}
		if g.seq <= w.last {
			before = g.to
		}
	}
	defer func() { w.last = w.d.Seq() }()
	n := len(w.fr.units)
	if n == before && w.last > 0 {
		return nil // it changes nothing
	}
	kept := make(Kept, n)
	copy(kept, w.drawn[:min(old, len(w.drawn))])
	switch {
	case w.fr.few(old, w.plan.Units):
		w.subsets(kept, old, before)
	case w.plan.All:
		return fmt.Errorf("%w: %d pieces wait at line %d of the trace", errTooMany, n, w.line)
	default:
		w.changes(kept, old)
	}
	for i := range w.plan.Samples {
		clear(kept)
		w.fr.draw(kept, w.rng(uint64(2+i)), 0)
		w.made(kept, byChance)
	}
	return nil
}

// few reports whether the units from old on have no more subsets than so many units of one sector would.
func (fr *frame) few(old, units int) bool {
	n := 1
	for i := old; i < len(fr.units) && n <= 1<<units; i++ {
		n *= 1 + fr.units[i].choices()
	}
	return n <= 1<<units
}

// subsets makes every subset of the units from old on that has one of those from before on.
func (w *walk) subsets(kept Kept, old, before int) {
	ways := make([]int, len(kept)) // how each unit is kept: digits of a number, the last one the highest
	if before > old {
		ways[before] = 1 // the first number that has one of the new ones
	}
	for {
		for i := old; i < len(kept); i++ {
			kept[i] = w.fr.units[i].choice(ways[i])
		}
		w.made(kept, bySubset)
		i := old
		for ; i < len(kept) && ways[i] == w.fr.units[i].choices(); i++ {
			ways[i] = 0
		}
		if i == len(kept) {
			return
		}
		ways[i]++
	}
}

// changes makes subsets of the changes since old, the last of which is torn at every sector.
func (w *walk) changes(kept Kept, old int) {
	var groups []group
	for _, g := range w.fr.groups {
		if g.from >= old {
			groups = append(groups, g)
		}
	}
	last := groups[len(groups)-1]
	groups = groups[:len(groups)-1]
	first, end, how := uint(0), uint(1)<<len(groups), byChanges
	if len(groups)+1 > w.plan.Changes {
		first, end, how = 0, 1, byPrefix
	}
	for mask := first; mask < end; mask++ {
		for i, g := range groups {
			keep := uint8(0)
			if how == byPrefix || mask>>i&1 == 1 {
				keep = whole
			}
			for k := g.from; k < g.to; k++ {
				kept[k] = keep
			}
		}
		clear(kept[last.from:last.to])
		for k := last.from; k < last.to; k++ {
			kept[k] = whole
			w.made(kept, how)
		}
	}
}

// draw draws a state of the units from from on.
func (fr *frame) draw(kept Kept, rng *rand.Rand, from int) {
	stop := rng.IntN(len(fr.groups) + 1)
	share := []int{2, 8, 32}[rng.IntN(3)] // one of so many sectors is lost, or kept
	most := rng.IntN(2) == 0
	policy := rng.IntN(7)
	for i, g := range fr.groups {
		keep := uint8(whole)
		switch policy {
		case 0: // all
		case 1:
			keep = 0
		case 2, 3: // the first ones; the next one torn
			if i >= stop {
				keep = 0
			}
		case 4:
			keep *= uint8(rng.IntN(2))
		}
		for k := g.from; k < g.to; k++ {
			kept[k] = keep
			if policy >= 5 && (rng.IntN(share) == 0) == most {
				kept[k] = 0
			}
		}
		if i == stop && policy == 3 {
			tear := g.from + rng.IntN(g.to-g.from)
			for k := g.from; k < tear; k++ {
				kept[k] = whole
			}
		}
	}
	if n := len(fr.units); policy == 6 && n > 0 { // a sector is torn, too
		if k := rng.IntN(n); fr.units[k].kind == Write {
			kept[k] = uint8(rng.IntN(sector / 8))
		}
	}
}

// made takes one state, if there was none like it.
func (w *walk) made(kept Kept, how string) {
	sum := w.fr.sum(kept)
	f, known := w.found[sum]
	if !known {
		f = finding{w.number, none}
		w.number++
		f.step = w.take(&State{f.number, w.line, how, kept})
		w.found[sum] = f
	} else {
		w.old(f)
	}
	w.between = append(w.between, f)
}

// judge looks at the states since the last sync again when more steps were told of: it is still possible that the power leaves them.
func (w *walk) judge() {
	from, _ := w.h.Allowed()
	if from == w.from {
		return
	}
	w.from = from
	for _, f := range w.between {
		w.old(f)
	}
}

// old tells of a state that is possible still, and not allowed any more.
func (w *walk) old(f finding) {
	if f.step != none && w.h.Stale(f.step) {
		w.stale(f.number, w.line, f.step)
	}
}
