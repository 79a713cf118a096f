package idempotence

import (
	"github.com/spoold/spoold/spool"
)

// ParkFor has the partition wait for an operator, durably.
func (m *Machine) ParkFor(e *Env, reason, detail string) {
	m.enter(Parked)
	m.park = spool.Park{Reason: reason, Detail: detail, At: e.Now.Wall}
	m.resolver = nil
	m.forget()
	m.Block(e, true)
	m.Mark(e)
	e.Urgent = true
	for _, b := range m.window {
		e.recycle(b)
	}
	e.event(PartitionParked{Topic: m.Lane.Topic, Partition: m.ID, Park: m.park, InDoubt: m.InDoubt()})
}

// Resolve carries out an operator's choice for a parked partition without a copy on the wire: it settles, moves or
// unseals what is in doubt and goes on at the next epoch, because what the log holds of the former one is not known.
func (m *Machine) Resolve(e *Env, c Choice) {
	n := m.InDoubt()
	e.audit("resolve %s-%d --%s: %d records in doubt (%s: %s)", m.Lane.Topic, m.ID, c, n, m.park.Reason, m.park.Detail)
	list := append(append([]*Sealed(nil), m.refusedMaybe...), m.window...)
	for _, b := range list {
		switch {
		case c == ResolveDelivered || b.acked:
			e.leave(m.Lane, b.Seal.Spans, spool.OutcomeAcked)
			e.Deliver = append(e.Deliver, spool.Delivery{
				Lane: m.Lane.ID, Spans: b.Seal.Spans, Partition: m.ID, Offset: b.offset, Timestamp: -1,
			})
		case c == ResolveDeadLetter || c == ResolveDeadLetterWaiting:
			if b.message == "" {
				b.message = "resolved by the operator: " + m.park.Reason
			}
			m.deadLetter(e, b, b.allRecords(), b.inDoubt())
		}
	}
	m.refusedMaybe, m.boundKnown = nil, false
	reason := m.park.Reason
	m.enter(Unknown)
	m.park, m.way = spool.Park{}, 0
	m.atOnce()
	m.reseal(e, list, "resolved by the operator: "+string(c))
	if reason == spool.ParkLogWentBack || reason == spool.ParkTopicRecreated {
		m.anotherLog()
	}
	m.Mark(e)
	e.event(PartitionUnparked{Topic: m.Lane.Topic, Partition: m.ID, Choice: c, Records: n})
}
