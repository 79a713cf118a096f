package sender

import (
	"slices"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/spool"
)

// writes are those that are not durable yet.
type writes struct {
	lastID uint64
	list   []pendingWrite
}

type pendingWrite struct {
	id     uint64
	sealed []*idempotence.Sealed
	then   []func()
}

// emit takes what machines left, and closes the Write that was composed, if there is one.
func (s *Sender) emit() {
	e, eff := &s.e, &s.eff
	eff.Sealed, e.Encode = e.Encode, eff.Sealed
	eff.Deliver, e.Deliver = e.Deliver, eff.Deliver
	eff.Recycle, e.Recycle = e.Recycle, eff.Recycle
	eff.Events, e.Events = e.Events, eff.Events
	if e.WakeAt != 0 {
		s.wake(e.WakeAt)
		e.WakeAt = 0
	}
	w := &e.Write
	w.Partitions = slices.Grow(w.Partitions, len(e.Changed))
	for _, m := range e.Changed {
		w.Partitions = append(w.Partitions, s.lane(m.Lane.ID).parts[m.ID].state())
	}
	clear(e.Changed)
	e.Changed = e.Changed[:0]
	if len(e.Sealed) > 0 { // the facts that sealed records were placed by are durable with them
		s.acc.FreshFacts(func(f spool.LaneFacts) { w.Facts = append(w.Facts, f) })
	}
	if w.Empty() {
		return
	}
	s.writes.lastID++
	out := *w
	out.ID = s.writes.lastID
	s.writes.list = append(s.writes.list, pendingWrite{id: out.ID, sealed: e.Sealed, then: s.then})
	eff.Write, eff.Urgent = &out, e.Urgent
	e.Write, e.Sealed, s.then, e.Urgent = spool.Write{}, nil, nil, false
}

// durable notes that the Writes up to an id were committed.
func (s *Sender) durable(upTo uint64) {
	k, w := 0, &s.writes
	for ; k < len(w.list) && w.list[k].id <= upTo; k++ {
		for _, b := range w.list[k].sealed {
			b.Durable()
			s.touch(s.lane(b.Seal.Lane).parts[b.Seal.Partition])
		}
		for _, f := range w.list[k].then {
			f()
			s.all = true
		}
	}
	w.list = append(w.list[:0], w.list[k:]...)
}
