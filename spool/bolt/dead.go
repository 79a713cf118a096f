package bolt

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/spoold/spoold/spool"
)

// deadLetters are the records that were refused for good: what is known of each, and what an operator does with them.
type deadLetters struct {
	*Store
	released []*spool.KeyBlock // of marks that are forgotten; committer only
	dlq      sync.Mutex        // one replays or drops dead letters at a time; before mu

	// Under view.
	marks     []*mark // by serial; some of them may be none any more
	deadBytes int64   // of their entries
}

// mark is a dead letter's mark, and the block on disk that it is in.
type mark struct {
	spool.Mark
	block *spool.KeyBlock
}

// deadRef names a dead letter.
type deadRef struct {
	lane  spool.LaneID
	index spool.Index
}

// DeadFilter says which dead letters are meant. The zero value means all.
type DeadFilter struct {
	Topic     string   // "": of all topics
	Partition *int32   // nil: of all partitions
	Code      *int16   // nil: whatever the reason
	Before    int64    // that became dead letters before this time, ms since 1970; 0: at any time
	Serials   []uint64 // none: all
	InDoubt   *bool    // nil: whether or not they may have reached the cluster
	NotTopic  string   // not those of this topic; "": of any
	After     uint64   // those with higher numbers
}

func (f *DeadFilter) matches(m *spool.Mark, topic string) bool {
	return (f.Topic == "" || f.Topic == topic) &&
		(f.Partition == nil || *f.Partition == m.Partition) &&
		(f.Code == nil || *f.Code == int16(m.Code)) &&
		(f.Before == 0 || m.At < f.Before) &&
		(f.InDoubt == nil || *f.InDoubt == m.InDoubt) &&
		(f.NotTopic == "" || f.NotTopic != topic) &&
		(len(f.Serials) == 0 || slices.Contains(f.Serials, m.Serial))
}

// DeadLetter is a dead letter as it is listed.
type DeadLetter struct {
	spool.Mark
	Topic string
}

// DeadLetters lists dead letters, oldest first, at most so many. It reads nothing. Safe from any goroutine.
func (s *Store) DeadLetters(f DeadFilter, most int) []DeadLetter {
	s.view.RLock()
	defer s.view.RUnlock()
	return listDead(s.state, s.dead.marks, &f, most)
}

func listDead(st *spool.State, marks []*mark, f *DeadFilter, most int) (out []DeadLetter) {
	from, _ := slices.BinarySearchFunc(marks, f.After, func(m *mark, after uint64) int { return cmp.Compare(m.Serial, after+1) })
	for _, m := range marks[from:] {
		if len(out) == most {
			break
		}
		topic := st.Topic(m.Lane)
		if st.DeadLettered(m.Lane, m.Index) && f.matches(&m.Mark, topic) {
			out = append(out, DeadLetter{m.Mark, topic})
		}
	}
	return out
}

// DeadEntry reads a dead letter's entry, as spool.AppendEntry wrote it. It blocks on the disk.
func (s *Store) DeadEntry(lane spool.LaneID, at spool.Index) ([]byte, error) {
	var found []byte
	err := s.dead.heldEntries(lane, []spool.Index{at}, func(_ spool.Index, raw []byte) { found = slices.Clone(raw) })
	if err == nil && found == nil {
		err = fmt.Errorf("record %d of lane %d is not in the spool any more", at, lane)
	}
	return found, err
}

// heldEntries reads entries that are held, whether they have left or not, each section once. at ascends.
func (s *deadLetters) heldEntries(lane spool.LaneID, at []spool.Index, yield func(spool.Index, []byte)) (err error) {
	r := reading{s: s.Store, lane: lane, max: 1, exact: true}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer r.fault(&err)
	for len(at) > 0 {
		r.at, r.buf, r.out, r.lens = at[0], r.buf[:0], nil, nil
		if err := r.one(); err != nil {
			return damageIn(s.dir, err)
		}
		if len(r.out) == 0 {
			at = at[1:] // it is gone
			continue
		}
		r.out[0].Bytes = r.buf
		err := eachEntry(&r.out[0], func(i spool.Index, raw []byte) {
			if len(at) > 0 && i == at[0] {
				yield(i, raw)
				at = at[1:]
			}
		})
		if err != nil {
			return err
		}
		if end := r.out[0].Spans[len(r.out[0].Spans)-1].End; len(at) > 0 && at[0] < end {
			at = at[1:] // it was not in the section after all
		}
	}
	return nil
}

// one reads the section at r.at, or none if nothing is there. Damage and the like are errors.
func (r *reading) one() error {
	for range 100 {
		_, err := r.step()
		switch {
		case passing(err):
			if err := r.waitForMore(err); err != nil {
				return err
			}
		case err == errMoved: //nolint:errorlint // it is never wrapped
		case err == errNowhere: //nolint:errorlint // it is never wrapped
			return nil
		default:
			return err
		}
	}
	return fmt.Errorf("record %d of lane %d cannot be read: it moves", r.at, r.lane)
}

// Drop says what becomes of units of which only a part is to be dropped. The zero value refuses that.
type Drop struct {
	WholeUnits  bool // the others of them are dropped, too
	DivideUnits bool // the others of them stay
}

// dropStep is about how many dead letters one commit drops. More only of one unit.
const dropStep = 10_000

// DropDead gives up dead letters, those of a unit in one commit, and says how many. It needs no room. ErrPartOfUnit: with a
// transactional id only a part of a unit matches, and nothing was changed. Other errors are those of Ticket.Spooled.
func (s *Store) DropDead(ctx context.Context, f DeadFilter, how Drop) (int, error) {
	s.dead.dlq.Lock()
	defer s.dead.dlq.Unlock()
	items, err := s.dead.dropItems(s.DeadLetters(f, -1), how)
	if err != nil {
		return 0, err
	}
	n := 0
	for len(items) > 0 {
		var refs []deadRef
		for len(items) > 0 && (len(refs) == 0 || len(refs)+len(items[0].letters) <= dropStep) {
			for i := range items[0].letters {
				refs = append(refs, items[0].letters[i].ref())
			}
			items = items[1:]
		}
		if err := s.dead.drop(ctx, refs); err != nil {
			return n, err
		}
		n += len(refs)
	}
	return n, nil
}

// drop gives up dead letters in one commit.
func (s *deadLetters) drop(ctx context.Context, refs []deadRef) error {
	s.mu.Lock()
	if err := s.closedNow(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.open.clears = append(s.open.clears, refs...)
	s.open.dropped += len(refs)
	r := s.open.receipt
	s.wake()
	s.mu.Unlock()
	return r.spooled(ctx)
}

// closedNow says why nothing is taken any more, or nil. Under mu.
func (s *Store) closedNow() error {
	if s.err != nil {
		return s.err
	}
	if s.closing {
		return ErrClosed
	}
	return nil
}

// deadSizes reads how large the entries are that writes make dead letters.
func (s *deadLetters) deadSizes(writes []*spool.Write) (map[deadRef]int64, error) {
	var byLane map[spool.LaneID][]spool.Index
	for _, w := range writes {
		for i := range w.DeadLetters {
			d := &w.DeadLetters[i]
			if byLane == nil {
				byLane = make(map[spool.LaneID][]spool.Index)
			}
			byLane[d.Lane] = append(byLane[d.Lane], d.Index)
		}
	}
	sizes := make(map[deadRef]int64)
	for id, at := range byLane {
		slices.Sort(at)
		err := s.heldEntries(id, slices.Compact(at), func(i spool.Index, raw []byte) { sizes[deadRef{id, i}] = int64(len(raw)) })
		if err != nil {
			return nil, err
		}
	}
	return sizes, nil
}

// markDead makes the marks of a Write's dead letters. Under view.
func (s *deadLetters) markDead(t *transaction, w *spool.Write, sizes map[deadRef]int64) {
	for i := range w.DeadLetters {
		d := &w.DeadLetters[i]
		t.marks = append(t.marks, spool.Mark{DeadLetter: *d, Serial: s.state.NextSerial(&t.changes), Bytes: sizes[deadRef{d.Lane, d.Index}]})
	}
}

// clearDead gives dead letters up. Under view.
func (s *deadLetters) clearDead(t *transaction, refs []deadRef) {
	if len(refs) == 0 {
		return
	}
	cleared := make(map[deadRef]bool, len(refs))
	for _, ref := range refs {
		if s.state.ClearDead(ref.lane, ref.index) {
			cleared[ref] = true
			t.touched = append(t.touched, ref.lane)
			s.committer.goneIndex(t, ref.lane, spool.Span{First: ref.index, End: ref.index + 1})
		}
	}
	s.dropMarks(func(m *mark) bool { return cleared[deadRef{m.Lane, m.Index}] })
}

// dropMarks forgets marks whose entries are no dead letters any more. Under view.
func (s *deadLetters) dropMarks(which func(*mark) bool) {
	s.marks = slices.DeleteFunc(s.marks, func(m *mark) bool {
		if !which(m) {
			return false
		}
		s.deadBytes -= m.Bytes
		s.released = append(s.released, m.block)
		return true
	})
}

// releaseMarks lets go of the blocks of marks that dropMarks forgot. It takes mu, which nobody may who has view: so it comes after.
func (s *deadLetters) releaseMarks() {
	if len(s.released) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.released {
		s.keys.Release(b)
	}
	s.released = nil
}

// carryMarks homes the marks of a segment that is dropped in this commit's block. Under mu, the committer only.
func (s *deadLetters) carryMarks(t *transaction, segment uint64) {
	for _, m := range s.marks {
		if m.block.Segment == segment {
			m.block.Live--
			m.block = t.keyBlock
			m.block.Live++
			t.carried = append(t.carried, m)
		}
	}
}

// allMarks are those that go into the commit's block.
func (t *transaction) allMarks() []spool.Mark {
	out := make([]spool.Mark, 0, len(t.carried)+len(t.marks))
	for _, m := range t.carried {
		out = append(out, m.Mark)
	}
	return append(out, t.marks...)
}

// keepMarks takes over the marks of a commit. Under view.
func (s *deadLetters) keepMarks(t *transaction) {
	for i := range t.marks {
		s.marks = append(s.marks, &mark{t.marks[i], t.keyBlock})
		s.deadBytes += t.marks[i].Bytes
	}
	if len(t.marks) > 0 && t.rewritten != nil && t.rewritten.former != nil {
		s.sortMarks()
	}
}

// loadMarks takes the marks that a start finds in a block: those of what is a dead letter still.
func (s *deadLetters) loadMarks(marks []spool.Mark, b *spool.KeyBlock) {
	for i := range marks {
		m := &marks[i]
		if int(m.Lane) < s.state.Lanes() && s.state.DeadLettered(m.Lane, m.Index) {
			s.marks = append(s.marks, &mark{*m, b})
			s.deadBytes += m.Bytes
			s.keys.Hold(b)
		}
	}
}

func (s *deadLetters) sortMarks() {
	slices.SortFunc(s.marks, func(a, b *mark) int { return cmp.Compare(a.Serial, b.Serial) })
}

// formerDead is a dead letter that format version 1 kept in the state.
type formerDead struct {
	spool.FormerDead
	letter spool.DeadLetter
	size   int
}
