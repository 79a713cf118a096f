package disk

import (
	"errors"
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Staged is a unit that goes to the disk in pieces, each in a commit of its own, before one commit makes it count.
type Staged struct {
	unit  *bolt.StagedUnit
	batch *bolt.BatchInput // all of it
	walls []int64          // when its records were written, so far
	put   bool             // some are on the disk, or on their way there
}

// piece is one that is in a group.
type piece struct {
	group   uint64
	wait    func() error
	through bool // its commit is
}

// BeginUnit begins a unit of a batch's records.
func (a *Alone) BeginUnit(b *bolt.BatchInput) *Staged {
	return &Staged{unit: bolt.BeginUnit(a.real.life.store), batch: b}
}

// Whole reports whether all of the unit's records are written.
func (u *Staged) Whole() bool { return len(u.walls) == len(u.batch.Records) }

// Stage writes the next n records of a unit. The receipt's group is 0 if they need no commit of their own. ErrFull: they were not written.
func (a *Alone) Stage(u *Staged, n int) (Receipt, error) {
	defer unfit()
	l := a.real.life
	at := len(u.walls)
	n = min(n, len(u.batch.Records)-at)
	wall := l.store.Now().Wall
	wait, err := u.unit.Put(over, u.batch.Records[at:at+n])
	if errors.Is(err, bolt.ErrFull) && !l.busy && !l.filling {
		a.look()
		wait, err = u.unit.Put(over, u.batch.Records[at:at+n])
	}
	switch {
	case errors.Is(err, bolt.ErrFull), errors.Is(err, bolt.ErrStagedFull):
		a.real.dir.came["pieces of units refused"]++
		return Receipt{}, ErrFull
	case err != nil:
		return Receipt{}, err
	}
	for range n {
		u.walls = append(u.walls, wall)
	}
	if wait == nil {
		return Receipt{}, nil
	}
	a.real.dir.came["pieces of units"]++
	u.put = true
	a.pieces = append(a.pieces, piece{group: a.group, wait: wait})
	l.filling = true
	return Receipt{Group: a.group}, nil
}

// CommitUnit puts what makes a unit count into the open group, which takes nothing more then. ErrFull: the unit is as before.
func (a *Alone) CommitUnit(u *Staged) (Receipt, error) {
	defer unfit()
	l := a.real.life
	got, err := u.unit.Commit(over, u.batch.Notes)
	if errors.Is(err, bolt.ErrFull) && !l.busy && !l.filling {
		a.look()
		got, err = u.unit.Commit(over, u.batch.Notes)
	}
	switch {
	case errors.Is(err, bolt.ErrFull):
		a.real.dir.came["units refused"]++
		return Receipt{}, ErrFull
	case err != nil:
		return Receipt{}, err
	}
	a.real.dir.came["units in several commits"]++
	a.placeUnit(u)
	r := Receipt{Group: a.group}
	a.wait = append(a.wait, promise{batch: u.batch, receipt: r, tickets: got})
	return r, nil
}

// AbortUnit gives a unit up. It reports whether something of it is on the disk: the next commit drops that.
func (a *Alone) AbortUnit(u *Staged) bool {
	u.unit.Abort()
	a.real.life.filling = a.real.life.filling || u.put
	a.real.dir.came["units aborted"]++
	return u.put
}

// placeUnit notes where the records of a unit are: those of a topic one behind the other. The core is told of the first of each with its
// bytes, and reads the others from the disk.
func (a *Alone) placeUnit(u *Staged) {
	it := item{batch: u.batch, staged: make([]bool, len(u.batch.Records))}
	lane := func(topic string) *end { return a.lane(&it, topic) }
	unit := unitOf(u.batch, lane)
	for i := range u.batch.Records {
		r := &u.batch.Records[i]
		e := lane(r.Topic)
		first := unitAt(unit, e)
		it.entries = append(it.entries, encode(r, spool.Time{Wall: u.walls[i]}, first))
		it.spots = append(it.spots, Spot{e.id, e.next})
		it.staged[i] = first == nil
		e.next++
	}
	a.open = append(a.open, it)
	a.real.life.filling = true
}

// settlePieces: a commit is through, or the store has ended.
func (a *Alone) settlePieces(group uint64, fails bool) {
	for i := range a.pieces {
		if p := &a.pieces[i]; p.group <= group && !p.through {
			if err := p.wait(); (err != nil) != fails {
				differ("the commit of a piece of a unit says %v", err)
			}
			p.through = true
		}
	}
}

// throughPieces are the groups of pieces whose commits are through since the last call.
func (a *Alone) throughPieces() (out []uint64) {
	a.pieces = slices.DeleteFunc(a.pieces, func(p piece) bool {
		if p.through {
			out = append(out, p.group)
		}
		return p.through
	})
	return out
}

// stagedSections are told to the core without their bytes.
func (s *stage) stagedSections(it *item) {
	var sections []spool.Section
	for k, spot := range it.spots {
		if it.staged == nil || !it.staged[k] {
			continue
		}
		at := slices.IndexFunc(sections, func(sec spool.Section) bool { return sec.Lane == spot.Lane })
		if at < 0 {
			at = len(sections)
			sections = append(sections, spool.Section{Lane: spot.Lane, Spans: []spool.Span{{First: spot.Index, End: spot.Index}}})
		}
		sections[at].Spans[0].End++
	}
	s.events.Sections = append(s.events.Sections, sections...)
}
