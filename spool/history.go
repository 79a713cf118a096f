package spool

import "slices"

// maxAudit is how many audit entries are kept.
const maxAudit = 1000

// pairRoom is what a pair of the state takes besides its fields.
const pairRoom = 32

// history is what a State keeps of what has happened: audit entries, and gaps (losses). Each is a pair; when there are too many, or
// they take too much, the oldest go. The last is always kept.
type history struct {
	of         *State
	audit      uint64 // number of the next entry
	firstAudit uint64
	auditSizes []int // of the entries that are kept, oldest first
	auditBytes int   // their sum
	gapBytes   int   // of the gaps that are kept
	most       int   // bytes that audit entries may take, and as many that gaps may; 0: any
}

// SetHistoryMax bounds what audit entries, and as much again what gaps may take of the state, in bytes. 0: any. It drops nothing by
// itself: what is too much goes with the next entries.
func (h *history) SetHistoryMax(bytes int) { h.most = bytes }

func (h *history) addAudit(a AuditEntry, out *Changes) {
	out.auditEntry(h.audit, a)
	h.audit++
	h.sizeAudit(a.What)
	for len(h.auditSizes) > maxAudit || h.tooMuch(h.auditBytes) && len(h.auditSizes) > 1 {
		out.delete(auditKey(h.firstAudit))
		h.firstAudit++
		h.auditBytes -= h.auditSizes[0]
		h.auditSizes = slices.Delete(h.auditSizes, 0, 1)
	}
}

func (h *history) sizeAudit(what string) {
	h.auditSizes = append(h.auditSizes, pairRoom+len(what))
	h.auditBytes += pairRoom + len(what)
}

func (h *history) tooMuch(bytes int) bool { return h.most > 0 && bytes > h.most }

// trimGaps drops the oldest gaps.
func (h *history) trimGaps(out *Changes) {
	x := &h.of.losses
	gone := 0
	for len(x.gaps)-gone > maxGaps || h.tooMuch(h.gapBytes) && len(x.gaps)-gone > 1 {
		out.delete(gapKey(x.firstGap))
		x.firstGap++
		h.gapBytes -= x.gaps[gone].room()
		gone++
	}
	x.gaps = slices.Delete(x.gaps, 0, gone)
}

// room is what a gap takes of the state, about.
func (g *Gap) room() int { return pairRoom + 24 + len(g.Why) }
