package bolt

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/spoold/spoold/spool"
)

// staging is what the Store keeps of staged units.
type staging struct {
	*Store
	units unitTable
	// Under mu.
	last  uint64   // part of the number of the last unit
	bytes int64    // on the disk, of units that are not committed
	ended []uint64 // aborted: their blocks are to be dropped by the next commit
}

// unitCommit is the commit of a staged unit.
type unitCommit struct {
	number uint64
	runs   []spool.UnitRun // by the number of the topic
	bytes  []int64         // that were staged, by the same
	quotas []*quota        // by the same; nil: none
}

// append puts a chunk into the open group.
func (s *staging) append(ctx context.Context, c *stagedChunk) (*Receipt, error) {
	s.mu.Lock()
	for w := (*turn)(nil); ; {
		if most := s.opt.StagedBytes; s.bytes+int64(c.bytes) > most {
			s.turns.leave(w)
			s.mu.Unlock()
			return nil, fmt.Errorf("%w: they hold %d bytes, allowed are %d", ErrStagedFull, s.bytes, most)
		}
		if s.open.staged != nil && s.err == nil && !s.closing { // one chunk in a commit; others go on meanwhile
			s.turns.leave(w)
			w = nil
			if err := s.waitForRoom(ctx, c.bytes, errGroupFull); err != nil {
				return nil, err
			}
			continue
		}
		g, err := s.room(w, c.bytes)
		if err == nil {
			g.staged = c
			g.bytes += c.bytes
			s.bytes += int64(c.bytes)
			c.unit.bytes += int64(c.bytes)
			receipt := g.receipt
			s.wake()
			s.mu.Unlock()
			return receipt, nil
		}
		if w, err = s.turns.wait(ctx, w, c.bytes, err); err != nil {
			return nil, err
		}
	}
}

// commit appends a unit's first records, and ends the group. Under mu.
func (s *staging) commit(g *group, u *StagedUnit, b *BatchInput) (Tickets, error) {
	if err := s.space.checkTopics(b); err != nil {
		return Tickets{}, err
	}
	runs := make([]spool.UnitRun, 0, len(u.topics))
	for i, topic := range u.topics {
		l, err := s.lane(g, topic)
		if err != nil {
			return Tickets{}, err
		}
		runs = append(runs, spool.UnitRun{Lane: l.id, First: l.end, Count: u.counts[i]})
	}
	t := Tickets{receipt: g.receipt}
	g.unit = runs
	for i := range u.firsts {
		r := &u.firsts[i]
		l := s.lanes[r.Topic]
		body := spool.BodySize(r.Key, r.Value, r.Headers)
		t.list = append(t.list, g.append(l, spool.EntrySize(body, r.Partition), r.Timestamp, r.Partition, r.Key, r.Value, r.Headers, body))
		l.end += spool.Index(u.counts[i] - 1)
	}
	for _, n := range b.Notes {
		g.notes = append(g.notes, Note{n.Name, slices.Clone(n.Value)})
		g.bytes += len(n.Name) + len(n.Value)
	}
	g.endUnit()
	g.unitCommit = &unitCommit{number: u.number, runs: runs, bytes: u.staged}
	for i, r := range runs {
		q := s.laneByID[r.Lane].quota
		q.took(int(u.staged[i]))
		g.unitCommit.quotas = append(g.unitCommit.quotas, q)
	}
	for i := range u.replaces {
		g.clears = append(g.clears, deadRef{u.replaces[i].Lane, u.replaces[i].Index})
	}
	g.replayed += len(u.replaces)
	u.over = true
	s.bytes -= u.bytes
	return t, nil
}

// stagedSections are the entries that a staged unit's commit adds to their lanes: to be read from the disk.
func (g *group) stagedSections() (out []spool.Section) {
	if g.unitCommit == nil {
		return nil
	}
	for _, r := range g.unitCommit.runs {
		if r.Count > 1 {
			out = append(out, spool.Section{Lane: r.Lane, Spans: []spool.Span{{First: r.First + 1, End: r.Span().End}}})
		}
	}
	return out
}

// drop lets go of the blocks of units that were aborted. Under view.
func (s *staging) drop(t *transaction) {
	for _, unit := range t.ended {
		t.gone = append(t.gone, s.active.index.dropStaged(unit)...)
		for _, x := range s.sealed {
			if _, ok := x.open[unit]; ok {
				delete(x.open, unit)
				x.wasted = true
			}
		}
	}
}

// list adds the entries of a unit that is committed now to what the list of segments says of older ones. Under view.
func (s *staging) list(t *transaction, g *group) {
	u := g.unitCommit
	if u == nil {
		return
	}
	if t.from != nil {
		if staged := t.from.index.staged[u.number]; len(staged) > 0 {
			t.fromInfo.Extents = withExtents(t.fromInfo.Extents, staged, u.runs)
			s.state.PutSegment(t.fromInfo, &t.changes)
		}
	}
	for _, x := range s.sealed {
		if staged := x.open[u.number]; len(staged) > 0 {
			info := x.info
			info.Extents = withExtents(info.Extents, staged, u.runs)
			s.state.PutSegment(info, &t.changes)
			t.listed = append(t.listed, listedUnit{x, info.Extents})
		}
	}
}

// listedUnit is an older segment that has entries of a unit which the commit under way makes entries of their lanes.
type listedUnit struct {
	x       *sealed
	extents []spool.Extent
}

// reload has older segments' indexes made again, with the unit that was committed. Not under view.
func (s *staging) reload(t *transaction, g *group) {
	if u := g.unitCommit; u != nil {
		s.units.put(map[uint64][]spool.UnitRun{u.number: u.runs})
		for _, l := range t.listed {
			l.x.unload()
		}
	}
	s.units.keep(s.state)
}

// done brings the index up to a commit of staged records, or of a unit. Under view.
func (s *staging) done(t *transaction, g *group) {
	if t.staged != nil {
		t.target.index.addStaged(&block{number: t.number, size: len(t.staged), crc: lastFour(t.staged), staged: true}, g.staged.sectionsOf(t.staged, t.number))
	}
	u := g.unitCommit
	if u == nil {
		return
	}
	for _, l := range t.listed {
		l.x.info.Extents, l.x.dirty = l.extents, true
		delete(l.x.open, u.number)
	}
	for _, x := range s.sealed {
		delete(x.open, u.number) // of the segment that was left
	}
	t.target.index.commitStaged(u.number, u.runs)
}

func (c *stagedChunk) sectionsOf(block []byte, number uint64) []spool.BlockSection {
	sections, err := spool.BlockDirectory(block, number)
	if err != nil {
		panic(fmt.Sprintf("bolt: a block of staged records that was just made: %v", err))
	}
	return sections
}

// withExtents adds the entries of a unit to a list of extents, in order.
func withExtents(list []spool.Extent, staged []stagedBlock, runs []spool.UnitRun) []spool.Extent {
	list = slices.Clone(list)
	for i := range staged {
		for _, sect := range staged[i].sections {
			if in, ok := sect.InLane(runs); ok {
				list = append(list, spool.Extent{Lane: in.Lane, Span: in.Spans[0]})
			}
		}
	}
	slices.SortFunc(list, func(a, b spool.Extent) int {
		if a.Lane != b.Lane {
			return int(int64(a.Lane) - int64(b.Lane))
		}
		return int(int64(a.First) - int64(b.First))
	})
	joined := list[:0]
	for _, e := range list {
		if n := len(joined); n > 0 && joined[n-1].Lane == e.Lane && joined[n-1].End == e.First {
			joined[n-1].End = e.End
			continue
		}
		joined = append(joined, e)
	}
	return joined
}

// stagedBlocks are blocks of staged records, by unit. None of their entries is in a lane yet.
type stagedBlocks map[uint64][]stagedBlock

type stagedBlock struct {
	block    *block
	sections []spool.BlockSection
}

// all are the blocks of all units.
func (m stagedBlocks) all() (out []*block) {
	for _, unit := range slices.Sorted(maps.Keys(m)) {
		for _, b := range m[unit] {
			out = append(out, b.block)
		}
	}
	return out
}

// addStaged puts a block of staged records in.
func (x *index) addStaged(b *block, sections []spool.BlockSection) {
	if len(sections) == 0 {
		return
	}
	x.bytes += pagesOf(b.size)
	x.staged[sections[0].Unit] = append(x.staged[sections[0].Unit], stagedBlock{b, sections})
}

// dropStaged takes a unit's blocks out.
func (x *index) dropStaged(unit uint64) (gone []*block) {
	for _, b := range x.staged[unit] {
		x.bytes -= pagesOf(b.block.size)
		gone = append(gone, b.block)
	}
	delete(x.staged, unit)
	return gone
}

// dropAllStaged takes the blocks of all units out.
func (x *index) dropAllStaged() {
	for unit := range x.staged {
		x.dropStaged(unit)
	}
}

// commitStaged makes a unit's staged entries entries of their lanes.
func (x *index) commitStaged(unit uint64, runs []spool.UnitRun) {
	for _, b := range x.staged[unit] {
		var in []spool.BlockSection
		for _, sect := range b.sections {
			if sect, ok := sect.InLane(runs); ok {
				in = append(in, sect)
			}
		}
		b.block.live = len(in)
		x.addSections(b.block, in)
	}
	delete(x.staged, unit)
}

// unitTable has the runs of the staged units that were committed and have not left, for those who load a segment.
type unitTable struct {
	mu sync.Mutex
	m  map[uint64][]spool.UnitRun
}

func (u *unitTable) put(units map[uint64][]spool.UnitRun) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m = make(map[uint64][]spool.UnitRun)
	}
	maps.Copy(u.m, units)
}

// keep forgets those that the state has forgotten.
func (u *unitTable) keep(st *spool.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.m, func(unit uint64, _ []spool.UnitRun) bool { return !st.HasUnit(unit) })
}

// runs of a unit, or nil.
func (u *unitTable) runs(unit uint64) []spool.UnitRun {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.m[unit]
}

// unitRunsOf is unitTable.runs where nothing changes.
func unitRunsOf(st *spool.State) func(uint64) []spool.UnitRun {
	units := st.Units()
	return func(unit uint64) []spool.UnitRun { return units[unit] }
}
