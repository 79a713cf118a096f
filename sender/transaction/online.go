package transaction

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// online is a unit that is not spooled, because it commits consumer offsets with its records. It has
// a transaction of its own, after all that was spooled before it came, and ends with that.
type online struct {
	unit  *sender.OnlineUnit
	lanes []*lane
	after []spool.Index // by LaneID: what goes before it
}

// Online takes a unit. What becomes of it is said by Effects.Ended.
func (s *Sender) Online(now spool.Time, u *sender.OnlineUnit) *sender.Effects {
	s.enter(now)
	o := &online{unit: u}
	for _, l := range s.lanes {
		o.after = append(o.after, l.end)
	}
	for _, topic := range u.Topics {
		l := s.markers.follow(topic)
		l.remote.Pending = true
		o.lanes = append(o.lanes, l)
	}
	switch {
	case s.closing || s.stop != nil:
		s.runner.endOnline(o, false, "the spool is closed")
	case s.starter.phase == fenced:
		s.runner.endOnline(o, false, "another producer has the transactional id: "+s.known.Fenced)
	default:
		s.runner.queue = append(s.runner.queue, o)
	}
	return s.end()
}

// Cancel aborts a unit, unless it was decided on.
func (s *Sender) Cancel(now spool.Time, id uint64) *sender.Effects {
	s.enter(now)
	for i, o := range s.runner.queue {
		if o.unit.ID == id {
			s.runner.queue = append(s.runner.queue[:i:i], s.runner.queue[i+1:]...)
			s.runner.endOnline(o, false, "its context ended")
			s.reader.release(cutFull)
			return s.end()
		}
	}
	if c := s.sending; c != nil && c.online != nil && c.online.unit.ID == id {
		s.runner.fail(c, protocol.None, "its context ended")
	}
	return s.end()
}

func (s *runner) endOnline(o *online, committed bool, why string) {
	if committed {
		why = ""
	}
	for _, l := range o.lanes {
		l.remote.Pending = l.settled.Low() < l.end
	}
	s.eff.Ended = append(s.eff.Ended, sender.OnlineEnd{ID: o.unit.ID, Committed: committed, Why: why})
}

// waitsForOnline reports whether an entry comes after the unit whose turn is next.
func (s *reader) waitsForOnline(lane spool.LaneID, i spool.Index) bool {
	if len(s.runner.queue) == 0 {
		return false
	}
	after := s.runner.queue[0].after
	return int(lane) >= len(after) || i >= after[lane]
}

// onlineLookMs is between two looks whether the topics of the unit whose turn it is can be written to.
const onlineLookMs = 500

// turnOf reports whether all that goes before o has left, and its topics can be written to.
func (s *runner) turnOf(o *online) bool {
	for id, end := range o.after {
		if l := s.lanes[id]; min(l.settled.NextAbsent(0), l.end) < end {
			return false
		}
	}
	for i := range o.unit.Groups {
		if x := s.markers.groups[o.unit.Groups[i].ID]; x != nil && x.sight != seen {
			s.markers.want(x)
			return x.sight == seen
		}
	}
	for _, l := range o.lanes {
		if s.now.Age < l.retryAt || !s.reader.writable(l) {
			s.wake(max(l.retryAt, s.now.Age+onlineLookMs)) // what changes in the view of the cluster wakes it, too
			s.starter.trial.say(fmt.Sprintf("a transaction waits for topic %s: %s", l.topic, l.detail))
			return false
		}
	}
	return true
}

// beginOnline puts the unit into the transaction that was just begun.
func (s *runner) beginOnline(c *cut, o *online) {
	s.queue = s.queue[1:]
	c.online = o
	for _, g := range o.unit.Groups {
		s.m.AddOffsets(txn.GroupOffsets{Group: g.Group, Offsets: append([]txn.Offset(nil), g.Offsets...)})
	}
	for i, l := range o.lanes {
		in := l.in
		l.in = c
		for n, rest := spool.Index(0), o.unit.Entries[i]; len(rest) > 0 && !c.failed; n++ {
			e, r, err := spool.NextEntry(rest)
			if err != nil {
				s.fail(c, protocol.None, err.Error())
				break
			}
			rest = r
			c.records++
			if !s.reader.place(l, n, &e) {
				s.fail(c, protocol.None, "the transaction does not fit into buffer.memory")
			}
		}
		l.in = in
		for _, p := range l.parts {
			if p.open != nil {
				p.open.batch.Finish()
				p.open = nil
			}
		}
		c.lanes = append(c.lanes, l)
	}
	s.reader.release(cutFull)
}
