package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
	"weak"

	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
)

// transaction is what one commit is to do, as far as it is known before bbolt is asked.
type transaction struct {
	number    uint64
	target    *active // where it goes: the active segment, or its successor
	from      *active // not nil: the segment whose state is carried forward
	fromInfo  spool.SegmentInfo
	changes   spool.Changes
	block     []byte // or nil
	sections  []spool.BlockSection
	keys      []byte // block of idempotency keys, or nil
	gone      []*block
	goneKeys  []*spool.KeyBlock
	dropped   []*sealed
	rewritten *rewrite
	keyBlock  *spool.KeyBlock
	marks     []spool.Mark   // of new dead letters
	carried   []*mark        // of a dropped segment
	touched   []spool.LaneID // whose numbers change
}

// commit makes durable what is in g and what writes say. On an error nothing in
// memory may be believed.
func (s *Store) commit(c *Commit, w *work) (err error) {
	g, writes := w.group, w.writes
	t := &transaction{number: s.active.head.Block + 1, target: s.active}
	if w.rewritten != nil && (w.rewritten.former != nil || s.isSealed(w.rewritten.from)) {
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
	s.compose(t, g)
	// Without room it is tried all the same: pages that were freed may do.
	_ = s.reserve(t.target, int64(len(t.block)+len(t.keys)+4*t.changes.Bytes())+s.reserved()/2)
	if err := s.write(t); err != nil {
		return err
	}
	if t.from != nil {
		if err := t.from.giveBack(); err != nil {
			return err // an answer too few: the commit is made
		}
	}
	s.done(t)
	if len(g.sections) > 0 || len(writes) > 0 {
		s.timing.busySince = time.Now()
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
	c.Stats.Records, c.Stats.Bytes, c.Stats.Writes, c.Stats.Rotated = g.records, len(t.block), len(writes), t.from != nil
	return nil
}

// apply changes the state in memory, and collects what changes on disk.
func (s *Store) apply(t *transaction, c *Commit, g *group, writes []*spool.Write) error {
	sizes, err := s.deadSizes(writes)
	if err != nil {
		return err
	}
	s.mu.Lock()
	t.goneKeys = s.keys.TakeEmptied()
	s.mu.Unlock()
	s.view.Lock()
	defer s.view.Unlock()
	t.gone, s.orphans = s.orphans, nil
	if t.from != nil {
		// The list must say what is in the old file: not what this commit settles.
		t.fromInfo = t.from.info()
		s.state.PutSegment(t.fromInfo, &t.changes)
	}
	for _, l := range g.lanes {
		if err := s.state.AddLane(l, &t.changes); err != nil {
			return err
		}
	}
	for _, sect := range g.sections {
		s.coming[sect.lane.id] = sect.first
		s.state.Append(sect.lane.id, sect.count)
		t.touched = append(t.touched, sect.lane.id)
	}
	for _, n := range g.notes {
		s.state.PutNote(n.Name, n.Value, &t.changes)
	}
	if err := s.auditDead(t, g); err != nil {
		return err
	}
	for _, w := range writes {
		if err := s.state.Apply(w, &t.changes); err != nil {
			return err
		}
		s.markDead(t, w, sizes)
		c.Writes = max(c.Writes, w.ID)
		for i := range w.Settle {
			s.settleIndex(t, &w.Settle[i])
		}
	}
	s.clearDead(t, g.clears)
	s.limitDead(t)
	if t.rewritten != nil && t.rewritten.former != nil {
		s.moveDead(t)
	}
	s.dropSettled(t)
	s.state.Flush(&t.changes)
	return nil
}

// settleIndex finds the blocks that a settlement frees. Under view.
func (s *Store) settleIndex(t *transaction, x *spool.Settlement) {
	t.touched = append(t.touched, x.Lane)
	for _, sp := range x.Spans {
		s.goneIndex(t, x.Lane, sp)
	}
}

// goneIndex finds the blocks that are needed no more because of entries that are not. Under view.
func (s *Store) goneIndex(t *transaction, id spool.LaneID, sp spool.Span) {
	t.gone = s.active.index.settle(id, sp, s.state.Gone(id), t.gone)
	for _, seg := range s.sealed {
		seg.settle(id, sp)
	}
}

// compose makes the block of records and that of keys.
func (s *Store) compose(t *transaction, g *group) {
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
func (s *Store) composeKeys(t *transaction, g *group) {
	t.keyBlock = g.keyBlock
	if t.keyBlock == nil {
		t.keyBlock = new(spool.KeyBlock)
	}
	keys := g.keys
	s.mu.Lock()
	t.keyBlock.Number, t.keyBlock.Segment = t.number, t.target.number
	for _, x := range t.dropped {
		keys = append(s.keys.Carry(x.info.Number, t.keyBlock), keys...)
		s.carryMarks(t, x.info.Number)
	}
	for range t.marks {
		s.keys.Hold(t.keyBlock)
	}
	s.mu.Unlock()
	if marks := t.allMarks(); len(keys)+len(marks) > 0 {
		t.keys = spool.EncodeKeys(t.number, keys, marks)
	}
}

// write carries the transaction out in bbolt.
func (s *Store) write(t *transaction) (err error) {
	a := t.target
	tx, err := a.db.Begin(true)
	if err != nil {
		return err
	}
	tx.Cursor().Bucket().FillPercent = 1
	head := a.head
	if err := s.fill(tx, t, &head); err != nil {
		_ = tx.Rollback()
		return err
	}
	s.opt.Faults.at("before commit")
	if err := s.opt.Faults.commitTx(tx); err != nil {
		return err
	}
	s.opt.Faults.at("after commit")
	a.head = head
	if err := a.db.View(func(tx *bbolt.Tx) error { a.hwm = tx.Size(); return nil }); err != nil {
		return err
	}
	st, err := a.file.Stat()
	if err != nil {
		return err
	}
	// bbolt may have cut off what was allocated ahead, or written beyond it.
	a.allocated = max(min(a.allocated, st.Size()), a.hwm)
	return nil
}

func (s *Store) fill(tx *bbolt.Tx, t *transaction, head *spool.Head) error {
	state, err := s.stateBucket(tx, t, head)
	if err != nil {
		return err
	}
	for i := range t.changes.List {
		grown, err := putPair(state, &t.changes.List[i], head)
		if err != nil {
			return err
		}
		t.target.stateBytes += int64(grown)
	}
	if t.from == nil { // else they stay in the file that is left
		for _, b := range t.gone {
			name := blockName(b.number)
			if err := tx.DeleteBucket(name); err != nil {
				return fmt.Errorf("delete block %d: %w", b.number, err)
			}
			toggleBlock(&head.BlockSum, name, b.crc)
			head.Blocks--
		}
		if err := deleteKeys(tx, t, head); err != nil {
			return err
		}
	}
	if t.block != nil {
		name := blockName(t.number)
		if err := putBlock(tx, name, t.block); err != nil {
			return err
		}
		toggleBlock(&head.BlockSum, name, lastFour(t.block))
		head.Blocks++
	}
	if t.keys != nil {
		name := keysName(t.number)
		if err := putBlock(tx, name, t.keys); err != nil {
			return err
		}
		toggleBlock(&head.KeySum, name, lastFour(t.keys))
		head.Keys++
	}
	now := s.clock.now()
	head.Segment, head.Block, head.Age, head.BootTime, head.Boot = t.target.number, t.number, now.Age, s.clock.boot(), s.boot
	b, err := tx.CreateBucketIfNotExists(nameHead)
	if err != nil {
		return err
	}
	return b.Put(keyHead, spool.AppendHead(nil, head))
}

// stateBucket is the bucket of the state's pairs; in a new segment, with all pairs of the former one.
func (s *Store) stateBucket(tx *bbolt.Tx, t *transaction, head *spool.Head) (*bbolt.Bucket, error) {
	state, err := tx.CreateBucketIfNotExists(nameState)
	if err != nil || t.from == nil {
		return state, err
	}
	state.FillPercent = 0.9
	head.Pairs, head.PairSum = t.from.head.Pairs, t.from.head.PairSum
	err = t.from.db.View(func(old *bbolt.Tx) error {
		b := old.Bucket(nameState)
		if b == nil {
			return corrupt(t.from.number, spool.NoBlock, "the state is missing")
		}
		return b.ForEach(func(k, v []byte) error { return state.Put(bytes.Clone(k), bytes.Clone(v)) })
	})
	return state, err
}

// putPair changes one pair of the state, and keeps the head's checksum. It says by how much
// the state has grown.
func putPair(state *bbolt.Bucket, kv *spool.KV, head *spool.Head) (grown int, err error) {
	if old := state.Get(kv.Key); old != nil {
		head.PairSum.Toggle(kv.Key, old)
		head.Pairs--
		grown -= len(kv.Key) + len(old) + leafElement
	}
	if kv.Value == nil {
		return grown, state.Delete(kv.Key)
	}
	head.PairSum.Toggle(kv.Key, kv.Value)
	head.Pairs++
	return grown + len(kv.Key) + len(kv.Value) + leafElement, state.Put(kv.Key, kv.Value)
}

// putBlock puts a value into a bucket of its own: so bbolt writes it once, and
// never copies it again.
func putBlock(tx *bbolt.Tx, name, value []byte) error {
	b, err := tx.CreateBucket(name)
	if err != nil {
		return err
	}
	return b.Put(keyData, value)
}

func deleteKeys(tx *bbolt.Tx, t *transaction, head *spool.Head) error {
	for _, k := range t.goneKeys {
		if k.Segment != t.target.number {
			continue
		}
		name := keysName(k.Number)
		b := tx.Bucket(name)
		if b == nil {
			return corrupt(k.Segment, k.Number, "idempotency keys are missing")
		}
		value := b.Get(keyData)
		toggleBlock(&head.KeySum, name, lastFour(value))
		head.Keys--
		t.target.keyBytes -= int64(len(value)) + keyBlockRoom
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// keyBlockRoom is what a block of keys takes besides its value, inline.
const keyBlockRoom = 64

func lastFour(b []byte) uint32 { return binary.LittleEndian.Uint32(b[len(b)-4:]) }

// done brings memory up to what is now on disk.
func (s *Store) done(t *transaction) {
	a := t.target
	if t.keys != nil {
		a.keyBytes += int64(len(t.keys)) + keyBlockRoom
	}
	s.view.Lock()
	clear(s.coming)
	if t.from != nil {
		x := newSealed(s.dir, t.fromInfo, s.state)
		x.bytes = t.from.hwm
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
	s.keepMarks(t)
	s.forget(t.dropped)
	s.view.Unlock()
	if t.from != nil {
		_ = t.from.db.Close() // everything in it is synced; nothing is lost if this fails
	}
	s.unlink(t.dropped)
	s.publishStats(t)
}
