package accumulator

import "github.com/spoold/spoold/spool"

// entries is how far a lane has come: which of its entries are not to be handed out (again), which have left, and where
// the cursor stands.
type entries struct {
	// End is one above the last committed entry.
	End spool.Index
	// pos is the cursor: everything below was claimed, passed over, or has left. Live
	// means pos == End.
	pos spool.Index
	// claimed: settled, sealed, or in a batch. Nothing at or above claimedEnd is in it: what
	// arrives live is not looked up.
	claimed    *spool.Set
	claimedEnd spool.Index
	settled    *spool.Set   // has left
	missing    []spool.Span // cannot be read, see RestoreMissing
}

func newEntries(end spool.Index) entries {
	return entries{End: end, claimed: spool.NewSet(0), settled: spool.NewSet(0)}
}

// claim notes that entries are not to be handed out (again).
func (e *entries) claim(sp spool.Span) {
	e.claimed.Add(sp)
	e.claimedEnd = max(e.claimedEnd, sp.End)
}

// release notes that claimed entries are to be handed out again.
func (e *entries) release(sp spool.Span) { e.claimed.Remove(sp) }

func (e *entries) isClaimed(i spool.Index) bool { return i < e.claimedEnd && e.claimed.Contains(i) }

// settle notes that entries have left.
func (e *entries) settle(sp spool.Span) {
	e.settled.Add(sp)
	e.claim(sp)
}

// Left reports whether entry i has left.
func (e *entries) Left(i spool.Index) bool { return e.settled.Contains(i) }

// Settled is the index below which all have left.
func (e *entries) Settled() spool.Index { return e.settled.Low() }

// Pending reports whether any committed entry has not left.
func (e *entries) Pending() bool { return e.settled.Low() < e.End }

// CountPending is how many committed entries have not left.
func (e *entries) CountPending() uint64 {
	return uint64(e.End) - uint64(e.settled.CountIn(spool.Span{End: e.End}))
}

// AppendUnsettled appends what of sp has not left.
func (e *entries) AppendUnsettled(dst []spool.Span, sp spool.Span) []spool.Span {
	for i := e.settled.NextAbsent(sp.First); i < sp.End; i = e.settled.NextAbsent(i) {
		end := i + 1
		for end < sp.End && !e.settled.Contains(end) {
			end++
		}
		dst = append(dst, spool.Span{First: i, End: end})
		i = end
	}
	return dst
}

// Live reports whether the cursor is at the end.
func (e *entries) Live() bool { return e.pos >= e.End }

// Position is the cursor, moved over what was claimed already.
func (e *entries) Position() spool.Index {
	if e.pos < e.End {
		e.pos = min(e.claimed.NextAbsent(e.pos), e.End)
	}
	return e.pos
}

// Skip moves the cursor up to next: what was read shows that nothing is left below.
func (e *entries) Skip(next spool.Index) { e.pos = min(max(e.pos, next), e.End) }
