package idempotence

import "github.com/spoold/spoold/spool"

// Unsealable reports whether all that m has sealed lies below end, and nothing of it can be in the log or get there.
func Unsealable(m *Machine, end spool.Index) bool {
	if m.phase != Ready || len(m.window) == 0 || m.onWire > 0 || m.doubtful() || m.overtaken() || len(m.refusedMaybe) > 0 {
		return false
	}
	spans := m.window[len(m.window)-1].Seal.Spans
	return spans[len(spans)-1].End <= end
}

// UnsealAll gives all that m has sealed back to the spool, while it is Unsealable.
func UnsealAll(m *Machine, e *Env, why string) { m.reseal(e, m.window, why) }
