package transaction

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// ended: EndTxn was answered. What the answer was is durable before anything of the next
// transaction leaves.
func (s *runner) ended() {
	c := s.ending
	if c.ordinal == 0 {
		return // its end is being written down
	}
	committed := s.m.Outcome() == txn.Committed
	s.outcome(committed, c)
	if c.online != nil && !committed {
		s.endOnline(c.online, false, "the coordinator aborted it")
	}
	if c.healing != nil {
		s.markers.looked(c.healing, committed)
	}
	c.ordinal = 0
	m := s.m
	s.then = append(s.then, func() {
		if s.m != m || s.ending != c {
			return
		}
		s.ending = nil
		if c.closeAt > 0 {
			s.shape.overhead += (s.now.Age - c.closeAt - s.shape.overhead) / 4
		}
		if !committed {
			s.again()
		}
	})
}

// outcome writes down what became of the decided transaction, and settles what it carried if it was
// committed. c is nil after a start.
func (s *runner) outcome(committed bool, c *cut) {
	d := &s.known.Decision
	d.Outcome, d.Park = spool.OutcomeAborted, spool.Park{}
	records := 0
	if committed {
		d.Outcome = spool.OutcomeCommitted
		for _, r := range d.Cut {
			records += r.Len() - s.lanes[r.Lane].settled.CountIn(r.Span)
		}
		if d.Key != "" {
			s.known.KeyTopic = d.Key
			s.shape.idleAt, s.shape.aborts = s.now.Age, 0
			s.inTime()
		}
		s.starter.trial.say("") // whatever it was is over
		o := s.undecided
		if c != nil {
			o = c.online
		} else {
			s.undecided = nil
		}
		s.markers.take(*d, c, o, c == nil) // what a start finds out is the progress's outcome: the logs are to say the same
		s.markers.noted()
	} else {
		if c != nil {
			s.markers.aborted(c)
		}
		s.loseMissing(d)
	}
	e := sender.TransactionEnded{ID: s.cfg.ID, Ordinal: d.Ordinal, Committed: committed, Records: records, Partitions: len(d.Partitions), Recovered: c == nil}
	if c != nil {
		e.Ms = s.now.Age - c.beganAt
	}
	s.event(e)
	if s.undecided != nil && c == nil {
		s.endOnline(s.undecided, false, "it was aborted")
		s.undecided = nil
	}
	s.known.Decision.Cut, s.known.Decision.Partitions = nil, nil
	if s.m != nil {
		s.known.Identity = s.m.Identity()
	}
	s.put()
}

// deliver says that records are committed, and where they are, if that is known.
func (s *runner) deliver(d *spool.Decision, c *cut) {
	if c != nil && c.online != nil {
		return
	}
	if c == nil {
		for _, r := range d.Cut {
			if spans := s.lanes[r.Lane].settled.AbsentIn(r.Span); len(spans) > 0 { // what lies between left before
				s.eff.Deliver = append(s.eff.Deliver, spool.Delivery{Lane: r.Lane, Spans: spans, Partition: -1, Offset: protocol.NoOffset, Timestamp: -1})
			}
		}
		for _, x := range d.Partitions {
			s.event(sender.BatchAcked{Topic: x.Topic, Partition: x.Partition, Records: int(x.Records), Offset: x.First, Recovered: true, How: "transaction"})
		}
		return
	}
	for i := range c.acked {
		a := &c.acked[i]
		s.eff.Deliver = append(s.eff.Deliver, spool.Delivery{
			Lane: a.lane.id, Spans: a.spans, Partition: a.partition, Offset: protocol.Offset(a.offset), Timestamp: a.stamp,
		})
		s.event(sender.BatchAcked{
			Topic: a.lane.topic, Partition: a.partition, Records: int(a.records), Bytes: a.bytes, Offset: protocol.Offset(a.offset),
			Recovered: a.spans[0].First < a.lane.recovered, How: "transaction",
		})
	}
}
