package bolt

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
)

// startMoveDead moves some of the dead letters that format version 1 kept in the state into a block. The committer only.
func (s *rewriter) startMoveDead(full bool) error {
	s.lookAgain()
	rw := &rewrite{}
	refs := s.state.FormerDead(10_000)
	err := s.active.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(nameState)
		for _, ref := range refs {
			d, entry, err := ref.Decode(b.Get(ref.Key()))
			if err != nil {
				return corrupt(s.active.number, spool.NoBlock, "dead letter %d of lane %d: %v", ref.Index, ref.Lane, err)
			}
			f := formerDead{ref, d, len(entry)}
			there, err := s.stillThere(ref)
			if err != nil {
				return err
			}
			if !there {
				sect := spool.BlockSection{Lane: ref.Lane, Spans: []spool.Span{{First: ref.Index, End: ref.Index + 1}}, Off: len(rw.bytes), Len: len(entry)}
				rw.sections = append(rw.sections, sect)
				rw.bytes = append(rw.bytes, entry...)
			}
			rw.former = append(rw.former, f)
			if len(rw.bytes) >= rewriteStep {
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !s.roomToCarry(int64(len(rw.bytes)), full) {
		return nil
	}
	s.mu.Lock()
	s.rewritten = rw
	s.mu.Unlock()
	return nil
}

// stillThere reports whether a dead letter's entry is in a segment as well, beside its neighbours that have not left.
func (s *rewriter) stillThere(f spool.FormerDead) (found bool, err error) {
	err = s.dead.heldEntries(f.Lane, []spool.Index{f.Index}, func(spool.Index, []byte) { found = true })
	return found, err
}

// moveDead brings what startMoveDead read into the state. Under view.
func (s *deadLetters) moveDead(t *transaction) {
	for _, f := range t.rewritten.former {
		s.state.MoveDead(f.FormerDead, &t.changes)
		t.marks = append(t.marks, spool.Mark{DeadLetter: f.letter, Serial: s.state.NextSerial(&t.changes), Bytes: int64(f.size)})
		for _, x := range s.sealed {
			x.settle(f.Lane, spool.Span{First: f.Index, End: f.Index + 1})
		}
	}
}

// auditDead leaves a record of what an operator has done to dead letters. Under view.
func (s *deadLetters) auditDead(t *transaction, g *group) error {
	w := &spool.Write{}
	now := s.clock.now().Wall
	if g.dropped > 0 {
		w.Audit = append(w.Audit, spool.AuditEntry{At: now, What: fmt.Sprintf("gap: %d dead letters dropped by the operator", g.dropped)})
	}
	if g.replayed > 0 {
		w.Audit = append(w.Audit, spool.AuditEntry{At: now, What: fmt.Sprintf("%d dead letters replayed", g.replayed)})
	}
	for _, what := range g.audit {
		w.Audit = append(w.Audit, spool.AuditEntry{At: now, What: what})
	}
	return s.state.Apply(w, &t.changes)
}

// DeadLetters lists dead letters as Store.DeadLetters does. Those that a program of format version 1 has left are not
// among them: a start moves them.
func (in *Inspection) DeadLetters(f DeadFilter, most int) ([]DeadLetter, error) {
	return listDead(in.found.state, in.marks(), &f, most), nil
}

// marks are those of dead letters, and of what is none any more, by serial.
func (in *Inspection) marks() (marks []*mark) {
	for _, k := range in.found.keys {
		for i := range k.marks {
			if m := &k.marks[i]; int(m.Lane) < in.found.state.Lanes() {
				marks = append(marks, &mark{*m, nil})
			}
		}
	}
	slices.SortFunc(marks, func(a, b *mark) int { return cmp.Compare(a.Serial, b.Serial) })
	return marks
}
