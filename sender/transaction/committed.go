package transaction

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// committed is a transaction that its coordinator says was committed, and whose markers were not all seen. Its records are in the
// spool until they are.
type committed struct {
	d      spool.Decision
	cut    *cut            // nil: of a former process
	runs   []spool.CutLane // what of d.Cut had not left before
	left   int             // places where its marker was not seen
	online *online         // the unit that it carried and that was not spooled

	located bool // the disk says which of its records are in which partition
}

// take registers a transaction that was committed. Its records are not sent again; they leave the spool with confirm.
func (s *markers) take(d spool.Decision, c *cut, o *online, doubt bool) *committed {
	x := &committed{d: d, cut: c, online: o}
	for _, r := range d.Cut {
		l := s.lanes[r.Lane]
		for i := l.settled.NextAbsent(r.First); i < r.End; i = l.settled.NextAbsent(i) {
			end := i + 1
			for end < r.End && !l.settled.Contains(end) {
				end++
			}
			x.runs = append(x.runs, spool.CutLane{Lane: r.Lane, Span: spool.Span{First: i, End: end}})
			i = end
		}
	}
	for _, r := range x.runs {
		l := s.lanes[r.Lane]
		l.settle(r.Span, s.now.Age)
		s.view.SetPending(l.remote, l.settled.Low() < l.end)
	}
	if !s.unsupported {
		for i := range d.Partitions {
			p := &d.Partitions[i]
			at := &s.follow(p.Topic).partition(p.Partition).mark
			at.topicID = p.TopicID
			s.await(x, at, int64(p.First), int64(p.Last), doubt)
		}
		switch {
		case o != nil:
			for i := range o.unit.Groups {
				s.await(x, inGroups{s}.offsets(&o.unit.Groups[i]), -1, -1, false)
			}
		case c == nil && len(d.Cut) == 0:
			inGroups{s}.wait(x)
		}
	}
	if x.left == 0 {
		s.confirm(x)
		return x
	}
	s.waiting = append(s.waiting, x)
	return x
}

func (s *markers) await(c *committed, x *place, first, last int64, doubt bool) {
	if before := x.of; before != nil {
		if before.left--; before.left == 0 { // its topic was created anew
			s.confirm(before)
		}
	}
	x.sight, x.of, x.first, x.last, x.doubt = unseen, c, first, last, doubt
	c.left++
	s.want(x)
}

// aborted has the places looked at that an aborted transaction was in.
func (s *markers) aborted(c *cut) {
	for _, p := range c.touched {
		if p.mark.of == nil {
			p.mark.sight, p.mark.doubt = unseen, false
			s.want(&p.mark)
		}
	}
	if c.online != nil {
		for i := range c.online.unit.Groups {
			x := inGroups{s}.offsets(&c.online.unit.Groups[i])
			x.sight = unseen
			s.want(x)
		}
	}
}

// confirm: all markers were seen. The records leave the spool.
func (s *markers) confirm(x *committed) {
	records := 0
	for _, r := range x.runs {
		records += r.Len()
		s.w.Settle = append(s.w.Settle, spool.Settlement{Lane: r.Lane, Spans: []spool.Span{r.Span}, Outcome: spool.OutcomeAcked})
	}
	s.known.Committed += uint64(records)
	s.runner.deliver(&x.d, x.cut)
	if x.online != nil {
		s.runner.endOnline(x.online, true, "")
	}
	s.forget(x)
	t := s.known
	s.w.Transaction = &t
	if len(x.d.Cut) == 0 && len(s.inOrder) > 0 {
		s.confirming++
		s.then = append(s.then, func() { s.confirming-- })
	}
	s.urgent = s.urgent || s.flushing || s.closing
}

// forget takes a transaction off the list of those that wait for their markers.
func (s *markers) forget(x *committed) {
	if i := slices.Index(s.waiting, x); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	s.noted()
}

// noted has the list on disk say what is waited for.
func (s *markers) noted() {
	s.known.Unconfirmed = nil
	for _, x := range s.waiting {
		s.known.Unconfirmed = append(s.known.Unconfirmed, x.d)
	}
}

// recover takes up what a former process has not seen the markers of.
func (s *markers) recover() {
	for _, g := range s.known.Groups {
		inGroups{s}.place(g)
	}
	list := s.known.Unconfirmed
	for i := range list {
		s.take(list[i], nil, nil, true) // a later one confirms those before it in whose places it was: the list on disk is one of those taken up until then
	}
	if s.noted(); s.w.Transaction != nil {
		t := s.known
		s.w.Transaction = &t
	}
	for _, topic := range s.known.Topics {
		s.follow(topic).inspect = true
	}
}

// judge takes what the log says of a transaction.
func (s *markers) judge(x *place, rp *kmsg.FetchResponseTopicPartition) {
	switch v, _ := txn.Evidence(x.of.d.Identity, protocol.Offset(x.first), rp); v {
	case txn.NothingNew: // somebody else's transaction is open below
		if x.looks++; x.looks < 2*looksBetween {
			x.askAt = s.now.Age + s.backoff.After(x.looks)
			return
		}
		s.see(x)
	case txn.NotCommitted:
		s.undone(x)
	default:
		s.see(x)
	}
}

// undone: what the coordinator said was committed is aborted in one partition. It goes again, if it is known which records
// it was; else an operator has to decide.
func (s *markers) undone(x *place) {
	c := x.of
	why := fmt.Sprintf("transaction %d was committed, and its records in %s were aborted: its marker was lost, and another one ended it", c.d.Ordinal, x)
	s.audit("%s", why)
	l := x.part.lane
	spans := c.spans(l, x.part.id)
	if spans == nil {
		s.parkCommitted(c, why)
		return
	}
	s.event(sender.TransactionTrouble{ID: s.cfg.ID, Message: why + "; they are sent again"})
	for _, sp := range spans {
		for _, r := range c.runs {
			if r.Lane == l.id {
				l.settled.Remove(spool.Span{First: max(r.First, sp.First), End: min(r.End, sp.End)})
			}
		}
		c.runs = without(c.runs, l.id, sp)
	}
	c.d.Cut = c.runs
	c.d.Partitions = slices.DeleteFunc(slices.Clone(c.d.Partitions), func(p spool.DecidedPartition) bool { return p.Topic == l.topic && p.Partition == x.part.id })
	if c.cut != nil {
		c.cut.acked = slices.DeleteFunc(c.cut.acked, func(a acked) bool { return a.lane == l && a.partition == x.part.id })
	}
	s.noted()
	s.put() // before a transaction that carries them is decided on
	s.view.SetPending(l.remote, true)
	s.reread = true
	s.see(x)
}

// spans are the records of a committed transaction in a partition; nil: it is not known which they are.
func (c *committed) spans(l *lane, partition int32) (list []spool.Span) {
	if c.cut == nil {
		for _, p := range c.d.Partitions {
			if p.Topic == l.topic && p.Partition == partition {
				return p.Spans
			}
		}
		return nil
	}
	if c.cut.online != nil {
		return nil
	}
	for _, a := range c.cut.acked {
		if a.lane != l || a.partition != partition {
			continue
		}
		for _, sp := range a.spans { // of batches one behind the other
			if n := len(list); n > 0 && list[n-1].End == sp.First {
				list[n-1].End = sp.End
			} else {
				list = append(list, sp)
			}
		}
	}
	return list
}

// mostLocated is how many runs of records of one transaction are written down: some 300 KB. With more, none are.
const mostLocated = 100_000

// locate has the disk say which records of what its places wait for are in which partition, where this process knows it: the transaction
// that is to write the markers may be aborted by its time-out, or by another producer, and this process may end.
func (h *healing) locate(s *markers) {
	for _, x := range h.places {
		c := x.of
		if c == nil || c.cut == nil || c.located {
			continue
		}
		c.located = true
		list, n := slices.Clone(c.d.Partitions), 0
		for i := range list {
			p := &list[i]
			p.Spans = c.spans(s.follow(p.Topic), p.Partition)
			n += len(p.Spans)
		}
		if n <= mostLocated {
			c.d.Partitions = list
		}
	}
	s.noted()
}

// without takes a span out of runs.
func without(runs []spool.CutLane, id spool.LaneID, sp spool.Span) (out []spool.CutLane) {
	for _, r := range runs {
		if r.Lane != id || sp.End <= r.First || r.End <= sp.First {
			out = append(out, r)
			continue
		}
		if r.First < sp.First {
			out = append(out, spool.CutLane{Lane: id, Span: spool.Span{First: r.First, End: sp.First}})
		}
		if sp.End < r.End {
			out = append(out, spool.CutLane{Lane: id, Span: spool.Span{First: sp.End, End: r.End}})
		}
	}
	return out
}

// parkCommitted has an operator say what became of a transaction.
func (s *markers) parkCommitted(c *committed, why string) {
	for _, r := range c.runs {
		l := s.lanes[r.Lane]
		l.settled.Remove(r.Span)
		s.view.SetPending(l.remote, true)
	}
	for i := range c.d.Partitions {
		p := &c.d.Partitions[i]
		if x := &s.follow(p.Topic).partition(p.Partition).mark; x.of == c {
			x.of, x.doubt = nil, false
		}
	}
	s.forget(c)
	s.starter.parkDecision(c.d, why)
	s.put()
	s.reread = true
}
