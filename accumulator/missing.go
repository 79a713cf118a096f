package accumulator

import "github.com/spoold/spoold/spool"

// RestoreMissing takes the entries that damage to the spool has taken, and whose fate is not known: they cannot be read.
func (e *entries) RestoreMissing(spans []spool.Span) { e.missing = spans }

// Missing reports whether entry i cannot be read.
func (e *entries) Missing(i spool.Index) bool {
	for _, sp := range e.missing {
		if i >= sp.First && i < sp.End {
			return !e.settled.Contains(i)
		}
	}
	return false
}

// MissingOf are the entries of spans that cannot be read.
func (e *entries) MissingOf(spans []spool.Span) (out []spool.Span) {
	for _, m := range e.missing {
		for _, sp := range spans {
			if part := (spool.Span{First: max(m.First, sp.First), End: min(m.End, sp.End)}); part.First < part.End {
				out = e.AppendUnsettled(out, part)
			}
		}
	}
	return out
}
