package bolt

import (
	"fmt"

	"github.com/spoold/spoold/spool"
)

// deadLimit is how many bytes the entries of dead letters may take.
func (s *deadLetters) deadLimit() int64 {
	if s.opt.DeadBytes != 0 {
		return s.opt.DeadBytes
	}
	return s.space.limit / 4
}

// deadFull reports whether there is to be no further dead letter: they take all that they may, or of a full spool all that is left. The
// committer only.
func (s *deadLetters) deadFull() bool {
	return s.opt.DeadBlock && (s.deadBytes >= s.deadLimit() || s.deadBytes > 0 && s.space.spent())
}

// share says how much of own bytes dead letters take, where that is so much that an operator should look. Under view, or the committer.
func (s *deadLetters) share(own int64) string {
	if s.deadBytes == 0 || s.deadBytes < own/8 {
		return ""
	}
	return fmt.Sprintf("; dead letters take %s: replay or drop some of them (spoold dlq)", sizeText(s.deadBytes))
}

// limitDead gives up the oldest dead letters if they take too much, and leaves a record of it. Under view.
func (s *deadLetters) limitDead(t *transaction) {
	limit := s.deadLimit()
	why := fmt.Sprintf("dlq.max.bytes (%d) allows no more", limit)
	if s.space.spent() && s.deadBytes < limit {
		// Many at once: a record of each drop is kept in the state, which is to become no larger.
		limit, why = s.deadBytes-s.deadBytes/16, fmt.Sprintf("spool.max.bytes (%d) leaves no room for more", s.opt.MaxBytes)
	}
	total := s.deadBytes
	for i := range t.marks {
		total += t.marks[i].Bytes
	}
	if len(t.marks) == 0 || total <= limit || s.opt.DeadBlock {
		return
	}
	var refs []deadRef
	var first, last uint64
	for _, m := range s.marks {
		if total <= limit {
			break
		}
		if first == 0 {
			first = m.Serial
		}
		last = m.Serial
		total -= m.Bytes
		refs = append(refs, deadRef{m.Lane, m.Index})
	}
	if len(refs) == 0 {
		return
	}
	s.clearDead(t, refs)
	t.deadDropped = len(refs)
	what := fmt.Sprintf("gap: %d dead letters dropped, numbers %d to %d: %s", len(refs), first, last, why)
	_ = s.state.Apply(&spool.Write{Audit: []spool.AuditEntry{{At: s.clock.now().Wall, What: what}}}, &t.changes) // it names no lane: it cannot fail
}
