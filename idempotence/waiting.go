package idempotence

import (
	"github.com/spoold/spoold/protocol"
)

// RefusedForNow reports whether what is sealed was refused, every copy of it, for a reason that only an operator can
// change: nothing of it is in the log.
func (m *Machine) RefusedForNow() bool {
	if m.phase != Ready || len(m.window) == 0 || m.doubtful() || m.overtaken() {
		return false
	}
	if m.waitsForTime() {
		return true
	}
	class := m.window[0].code.Class()
	return class == protocol.Authorization || class == protocol.Fatal || class == protocol.Misfit
}

// SetAside carries out an operator's choice to dead-letter what is RefusedForNow, without a copy on the wire.
func (m *Machine) SetAside(e *Env, c Choice) (n int) {
	if b := m.window[0]; b.notUntil > 0 {
		bad := b.badRecords()
		if len(bad) == 0 {
			bad = []int32{0}
		}
		m.deadLetter(e, b, bad, b.inDoubt())
		e.audit("resolve %s-%d --%s: %d records that wait for time to pass (%s)", m.Lane.Topic, m.ID, c, len(bad), m.Detail)
		m.reseal(e, m.window, "put aside by the operator: "+m.Detail)
		m.atOnce()
		m.healing = 0
		return len(bad)
	}
	n = records(m.window)
	for _, b := range m.window {
		if b.code == protocol.None {
			b.code, b.message = m.window[0].code, m.window[0].message // it stands behind that one
		}
		m.deadLetter(e, b, b.allRecords(), b.inDoubt())
	}
	e.audit("resolve %s-%d --%s: %d records that the cluster does not take (%s)", m.Lane.Topic, m.ID, c, n, m.Detail)
	m.reseal(e, m.window, "put aside by the operator: "+m.Detail)
	m.atOnce()
	return n
}

// MayBeInFormer reports whether records that are not settled may have been seen in a topic that was deleted and created anew. A copy
// that went by the topic's id and was answered UNKNOWN_TOPIC_ID is nowhere, or was in a log that was deleted before its
// replicas had it: no reader has seen it, and it cannot turn up in the new topic.
func (m *Machine) MayBeInFormer() bool {
	return m.phase == Parked || m.maybeSeen()
}

// BeginAnew has the partition go on at sequence 0 of the next epoch in a topic that was created anew, with no copy on the wire and
// nothing that MayBeInFormer.
func (m *Machine) BeginAnew(e *Env) {
	m.enter(Unknown)
	m.resolver = nil
	m.forget()
	m.way = 0
	m.atOnce()
	m.reseal(e, m.window, "the topic was created anew")
}
