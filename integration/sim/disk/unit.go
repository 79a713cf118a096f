package disk

import (
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// unitOf is where the records of a batch will be that is never divided; nil if it needs no mark.
func unitOf(b *bolt.BatchInput, lane func(topic string) *end) (unit []spool.UnitRun) {
	if !b.Unit || len(b.Records) < 2 {
		return nil
	}
	for i := range b.Records {
		e := lane(b.Records[i].Topic)
		at := slices.IndexFunc(unit, func(r spool.UnitRun) bool { return r.Lane == e.id })
		if at < 0 {
			at = len(unit)
			unit = append(unit, spool.UnitRun{Lane: e.id, First: e.next})
		}
		unit[at].Count++
	}
	return unit
}

// unitAt is unit, if the next entry of a lane is the first that it has there.
func unitAt(unit []spool.UnitRun, e *end) []spool.UnitRun {
	if slices.ContainsFunc(unit, func(r spool.UnitRun) bool { return r.Lane == e.id && r.First == e.next }) {
		return unit
	}
	return nil
}

// lane is the end of a topic's lane, which is made if need be.
func (m *Model) lane(it *item, topic string) *end {
	e := m.ends[topic]
	if e == nil {
		e = &end{id: spool.LaneID(m.count)}
		m.count++
		m.ends[topic] = e
		it.lanes = append(it.lanes, spool.NewLane{ID: e.id, Topic: topic})
	}
	return e
}
