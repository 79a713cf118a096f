package bolt

import (
	"time"
	"weak"

	"github.com/spoold/spoold/spool"
)

// transaction is what one commit is to do, as far as it is known before bbolt is asked.
type transaction struct {
	number      uint64
	target      *active // where it goes: the active segment, or its successor
	from        *active // not nil: the segment whose state is carried forward
	fromInfo    spool.SegmentInfo
	changes     spool.Changes
	block       []byte // or nil
	sections    []spool.BlockSection
	staged      []byte // block of staged records, or nil
	keys        []byte // block of idempotency keys, or nil
	gone        []*block
	goneKeys    []*spool.KeyBlock
	dropped     []*sealed
	rewritten   *rewrite
	keyBlock    *spool.KeyBlock
	marks       []spool.Mark   // of new dead letters
	carried     []*mark        // of a dropped segment
	touched     []spool.LaneID // whose numbers change
	left        []spool.LaneID // of which entries have left
	listed      []listedUnit
	ended       []uint64    // units that were aborted
	excess      *deadExcess // of dead letters; nil: none
	deadDropped int         // dead letters that Options.DeadBytes has no room for
	// lowestKeys are the first entries that idempotency keys speak of, if a new segment is begun.
	lowestKeys map[spool.LaneID]spool.Index
}

// commit makes durable what is in g and what writes say. On an error nothing in
// memory may be believed.
func (s *committer) commit(c *Commit, w *work) (err error) {
	g, writes := w.group, w.writes
	t := &transaction{number: s.active.head.Block + 1, target: s.active}
	if w.rewritten != nil && (w.rewritten.former != nil || s.rewriter.isSealed(w.rewritten.from)) {
		t.rewritten = w.rewritten
	}
	if err := s.maybeRotate(t, g, w.rotate); err != nil {
		return err
	}
	defer func() {
		if err != nil && t.from != nil {
			_ = t.target.db.Close()
		}
	}()
	if err := s.apply(t, c, g, writes); err != nil {
		return err
	}
	s.dead.releaseMarks()
	s.compose(t, g)
	// Without room it is tried all the same: pages that were freed may do.
	_ = s.space.reserve(t.target, int64(len(t.block)+len(t.staged)+len(t.keys)+4*t.changes.Bytes()))
	if err := s.write(t); err != nil {
		return err
	}
	if t.from != nil {
		if err := t.from.giveBack(); err != nil {
			return err // an answer too few: the commit is made
		}
		s.opt.Faults.at("new segment committed")
		if err := s.lock.note(t.target.number); err != nil {
			return err
		}
	}
	s.done(t, g)
	if len(g.sections) > 0 || len(writes) > 0 {
		s.busySince = time.Now()
	}
	c.Receipt = weak.Make(g.receipt)
	c.Lanes = g.lanes
	for i := range g.sections {
		sect := g.sections[i]
		c.Sections = append(c.Sections, spool.Section{
			Lane:  sect.lane.id,
			Spans: []spool.Span{{First: sect.first, End: sect.first + spool.Index(sect.count)}},
			Bytes: sect.buf[spool.BlockHeader:],
		})
	}
	c.Sections = append(c.Sections, g.stagedSections()...)
	c.Stats.Records, c.Stats.Bytes, c.Stats.Writes, c.Stats.Rotated = g.records, len(t.block), len(writes), t.from != nil
	c.Stats.Dead, c.Stats.Dropped, c.DeadFull = len(t.marks), t.deadDropped, s.dead.deadFull()
	return nil
}

// apply changes the state in memory, and collects what changes on disk.
func (s *committer) apply(t *transaction, c *Commit, g *group, writes []*spool.Write) error {
	sizes, err := s.dead.deadSizes(writes)
	if err != nil {
		return err
	}
	t.excess = s.dead.excess(writes, sizes)
	s.mu.Lock()
	s.keys.Expire(s.clock.now().Age) // also where no further key comes
	t.goneKeys = s.keys.TakeEmptied()
	t.ended, s.staging.ended = s.staging.ended, nil
	if t.from != nil {
		t.lowestKeys = s.keys.Lowest()
	}
	s.mu.Unlock()
	s.view.Lock()
	defer s.view.Unlock()
	t.gone, s.orphans = s.orphans, nil
	s.staging.drop(t)
	if t.from != nil {
		// The list must say what is in the old file: not what this commit settles.
		t.fromInfo = t.from.info()
		s.state.PutSegment(t.fromInfo, &t.changes)
		s.state.ForgetOutcomes(t.lowestKeys, &t.changes)
	}
	s.staging.list(t, g)
	for _, l := range g.lanes {
		if err := s.state.AddLane(l, &t.changes); err != nil {
			return err
		}
	}
	every, now := s.opt.AgeEvery.Milliseconds(), s.clock.now().Age
	for _, sect := range g.sections {
		s.coming[sect.lane.id] = sect.first
		s.state.Append(sect.lane.id, sect.count)
		s.state.MarkAge(sect.lane.id, sect.first, now, every)
		t.touched = append(t.touched, sect.lane.id)
	}
	if u := g.unitCommit; u != nil {
		s.state.PutUnit(u.number, u.runs, &t.changes)
	}
	for _, n := range g.notes {
		s.state.PutNote(n.Name, n.Value, &t.changes)
	}
	if err := s.dead.auditDead(t, g); err != nil {
		return err
	}
	for _, w := range writes {
		if err := s.state.Apply(w, &t.changes); err != nil {
			return err
		}
		s.dead.markDead(t, w, sizes)
		c.Writes = max(c.Writes, w.ID)
		for i := range w.Settle {
			s.settleIndex(t, &w.Settle[i])
		}
	}
	s.dead.clearDead(t, g.clears)
	s.dead.limitDead(t)
	if t.rewritten != nil && t.rewritten.former != nil {
		s.dead.moveDead(t)
	}
	s.dropSettled(t)
	s.state.DropUnits(&t.changes)
	s.state.Flush(&t.changes)
	return nil
}

// settleIndex finds the blocks that a settlement frees. Under view.
func (s *committer) settleIndex(t *transaction, x *spool.Settlement) {
	t.touched, t.left = append(t.touched, x.Lane), append(t.left, x.Lane)
	for _, sp := range x.Spans {
		s.goneIndex(t, x.Lane, sp)
	}
}

// goneIndex finds the blocks that are needed no more because of entries that are not. Under view.
func (s *committer) goneIndex(t *transaction, id spool.LaneID, sp spool.Span) {
	t.gone = s.active.index.settle(id, sp, s.state.Gone(id), t.gone)
	for _, seg := range s.sealed {
		seg.settle(id, sp)
	}
}

// compose makes the block of records and that of keys.
func (s *committer) compose(t *transaction, g *group) {
	if t.rewritten != nil {
		t.rewritten.addTo(t, g)
	} else if len(g.sections) == 1 {
		sect := g.sections[0]
		t.sections = []spool.BlockSection{sect.describe(spool.BlockHeader)}
		t.block = spool.SealBlock(sect.buf, t.number, t.sections)
		// The section may have moved to a larger buffer, which is better kept.
		sect.buf = t.block[:spool.BlockHeader+t.sections[0].Len]
	} else if len(g.sections) > 1 {
		b := append(g.joined[:0], make([]byte, spool.BlockHeader)...)
		for _, sect := range g.sections {
			t.sections = append(t.sections, sect.describe(len(b)))
			b = append(b, sect.buf[spool.BlockHeader:]...)
		}
		t.block = spool.SealBlock(b, t.number, t.sections)
		g.joined = t.block
	}
	if g.staged != nil {
		t.staged = g.staged.seal(t.number)
	}
	s.composeKeys(t, g)
}

func (sect *section) describe(off int) spool.BlockSection {
	return spool.BlockSection{
		Lane:  sect.lane.id,
		Spans: []spool.Span{{First: sect.first, End: sect.first + spool.Index(sect.count)}},
		Off:   off,
		Len:   len(sect.buf) - spool.BlockHeader,
	}
}

// composeKeys makes the block of this group's keys and of those that a dropped segment leaves.
func (s *committer) composeKeys(t *transaction, g *group) {
	t.keyBlock = g.keyBlock
	if t.keyBlock == nil {
		t.keyBlock = new(spool.KeyBlock)
	}
	keys := g.keys
	s.mu.Lock()
	t.keyBlock.Number, t.keyBlock.Segment = t.number, t.target.number
	for _, x := range t.dropped {
		keys = append(s.keys.Carry(x.info.Number, t.keyBlock), keys...)
		s.dead.carryMarks(t, x.info.Number)
	}
	for range t.marks {
		s.keys.Hold(t.keyBlock)
	}
	s.mu.Unlock()
	if marks := t.allMarks(); len(keys)+len(marks) > 0 {
		t.keys = spool.EncodeKeys(t.number, keys, marks)
	}
}

// done brings memory up to what is now on disk.
func (s *committer) done(t *transaction, g *group) {
	a := t.target
	if t.keys != nil {
		a.keyBytes += int64(len(t.keys)) + keyBlockRoom
	}
	s.staging.reload(t, g)
	s.view.Lock()
	clear(s.coming)
	if t.from != nil {
		x := newSealed(s.dir, t.fromInfo, s.state, &s.staging.units)
		x.bytes, x.open = t.from.hwm, t.from.index.staged
		s.sealed = append(s.sealed, x)
		s.active = a
	}
	if t.rewritten != nil && t.rewritten.from != nil {
		t.rewritten.from.carried(t.rewritten)
	}
	if t.block != nil {
		a.index.add(t.number, 0, len(t.block), lastFour(t.block), t.sections)
		if t.rewritten != nil {
			s.orphans = a.index.sweep(s.state) // what left while it was carried
			defer s.opt.Faults.at("remains carried")
		}
	}
	s.staging.done(t, g)
	s.dead.keepMarks(t)
	s.forget(t.dropped)
	s.view.Unlock()
	if t.from != nil {
		_ = t.from.db.Close() // everything in it is synced; nothing is lost if this fails
	}
	s.quotas.committed(t, g)
	s.unlink(t.dropped)
	s.publishStats(t)
}
