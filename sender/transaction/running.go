package transaction

import (
	"cmp"
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

const inTransaction = txn.InTransaction

// shape is how long transactions are kept open, after what they cost.
type shape struct {
	overhead int64 // ms from the last batch of a transaction to the beginning of the next, smoothed
	idleAt   int64 // Age of the last commit
	// After an abort the next transaction waits, longer with each.
	aborts     int
	pauseUntil int64
}

const (
	minOpenMs     = 20               // a transaction is kept open at least so long, if there is more to send
	overheadShare = 4                // and at least so many times what ending one costs
	heartbeatMs   = 12 * 3600 * 1000 // an idle spool commits its progress again: offsets expire
)

// run begins, decides and ends transactions.
func (s *runner) run() {
	if s.fill == nil {
		s.fill = newCut()
		s.reader.release(cutFull)
	}
	switch s.m.State() {
	case txn.Ready:
		if s.markers.reread && s.ending == nil && s.sending == nil {
			s.again()
		}
		switch {
		case s.ending != nil:
			s.ended()
		case s.sending != nil:
			s.aborted()
		default:
			s.begin()
		}
	case inTransaction:
		if s.sending != nil { // else the decision is on its way to the disk
			s.open()
		}
	case txn.AbortableError:
		if c := s.sending; c.healing != nil && c.healing.commit {
			_, _, detail := s.m.Err()
			s.starter.trial.say(detail)
			s.starter.restart() // it was decided on: EndTxn tells what became of it
			s.starter.failed(detail)
			return
		}
		s.giveUp()
	}
}

// begin begins a transaction if there is anything for it.
func (s *runner) begin() {
	c := s.fill
	if s.closing || s.markers.heal() {
		return
	}
	if s.onlyEnd {
		if len(s.markers.waiting) == 0 {
			s.onlyEnd = false
			s.starter.go_()
		}
		return
	}
	if s.now.Age < s.shape.pauseUntil {
		s.wake(s.shape.pauseUntil)
		return
	}
	if (inGroups{&s.markers}).unsure() {
		return
	}
	var o *online
	if len(s.queue) > 0 && c.records == 0 {
		if o = s.queue[0]; !s.turnOf(o) || !s.markers.note(o) {
			return
		}
	}
	if c.records == 0 && o == nil {
		if s.known.KeyTopic == "" {
			return
		}
		if at := s.shape.idleAt + heartbeatMs; s.now.Age < at {
			s.wake(at)
			return
		}
	}
	key, known := s.keyTopic(c, o)
	if key == "" {
		return
	}
	if !known || c.records == 0 {
		if !known {
			o = nil // first a base for its progress
		}
		c = newCut() // it carries progress alone: the first on its key, or a repetition
		c.fix()
	}
	s.m.Finalized(s.starter.version)
	if !s.m.Begin() {
		return // the id is initialised first
	}
	c.key, c.ordinal, c.beganAt, c.lasts = key, s.known.Decision.Ordinal+1, s.now.Age, s.timeoutMs()
	s.m.AddOffsets(txn.GroupOffsets{
		Group: txn.Group{ID: txn.GroupID(s.cfg.ID), Generation: -1},
		Offsets: []txn.Offset{{
			TopicPartition: protocol.TopicPartition{Topic: key}, Offset: int64(c.ordinal), LeaderEpoch: -1,
			Metadata: txn.Metadata(s.spoolID, s.incarnation),
		}},
	})
	s.sending = c
	if o != nil {
		s.beginOnline(c, o)
	}
	s.open()
}

// open looks after the open transaction: it closes it, and decides once all of it is acknowledged.
func (s *runner) open() {
	c := s.sending
	if c.healing != nil {
		s.openHealing(c)
		return
	}
	if why := c.hindered(); !c.failed && (s.markers.reread || why != "") {
		s.fail(c, protocol.None, cmp.Or(why, "what was committed before it is sent again"))
	}
	if c.failed {
		s.giveUp()
		return
	}
	if !c.closed && s.shouldClose(c) {
		c.closed, c.closeAt = true, s.now.Age
	}
	if s.closing && !c.read() {
		s.fail(c, protocol.None, "the spool is closed")
		return
	}
	if c.closed && !c.fixed && c.read() {
		c.fix()
		if c.closeAt == 0 {
			c.closeAt = s.now.Age
		}
		s.fill = newCut()
		s.reader.release(cutFull)
		s.reader.feed()
	}
	deadline := c.beganAt + s.timeoutMs()*3/4
	if s.now.Age >= deadline {
		s.tooLate(c)
		return
	}
	s.wake(deadline)
	if c.fixed && c.unacked == 0 && s.m.Settled() {
		s.decide(c)
	}
}

// shouldClose reports whether the open transaction is to take no more.
func (s *runner) shouldClose(c *cut) bool {
	if c.full || s.closing || c.unacked == 0 && c.read() && s.m.Settled() {
		return true
	}
	at := c.beganAt + min(max(overheadShare*s.shape.overhead, minOpenMs), s.cfg.TimeoutMs/10)
	if s.now.Age >= at {
		return true
	}
	s.wake(at)
	return false
}

// tooLate: the coordinator is about to abort the transaction itself.
func (s *runner) tooLate(c *cut) {
	why := fmt.Sprintf("not finished within three quarters of transaction.timeout.ms = %d", s.timeoutMs())
	slow := true
	for _, l := range c.lanes {
		for _, p := range l.parts {
			if p.waits(c) {
				slow = false
				unsure{s.Sender}.begin(&p.mark)
			} else if len(p.queue) > 0 && p.queue[0].cut == c && p.detail != "" {
				slow = false
				s.producer.block(l, protocol.RequestTimedOut, p.tp().String()+": "+p.detail)
			}
		}
	}
	if _, _, detail := s.m.Err(); detail != "" && !s.m.Settled() {
		why += ": " + detail
		slow = false
	}
	if slow {
		s.tooSlow(c)
	}
	s.fail(c, protocol.RequestTimedOut, why)
}

// decide writes down that the transaction is to be committed. EndTxn goes out when that is durable.
func (s *runner) decide(c *cut) {
	s.known.Identity = s.m.Identity()
	d := spool.Decision{
		Ordinal: c.ordinal, Identity: s.m.Identity(), EndVersion: s.m.EndVersion(), Key: c.key, DecidedAt: s.now.Wall, Cut: c.runs,
	}
	for _, l := range c.lanes {
		for _, p := range l.parts {
			if w := c.parts[p]; w != nil {
				d.Partitions = append(d.Partitions, spool.DecidedPartition{
					Topic: l.topic, Partition: p.id, TopicID: l.remote.Bound, First: protocol.Offset(w.first), Last: protocol.Offset(w.last), Records: w.records,
				})
			}
		}
	}
	s.known.Decision = d
	s.put()
	s.ending, s.sending = c, nil
	s.starter.begun.deciding = true
	m := s.m
	s.then = append(s.then, func() {
		s.starter.begun.deciding = false
		if s.m == m && m.State() == inTransaction {
			m.Commit()
		}
	})
}

// fail has the open transaction aborted, once nothing of it is on the wire.
func (s *runner) fail(c *cut, code protocol.ErrorCode, why string) {
	if c == nil || c.failed {
		return
	}
	c.failed, c.why = true, why
	if c == s.sending {
		s.m.Fail(code, why)
	}
}

// abortFor aborts the transaction that admitted a unit of l which cannot be sent as it is.
func (s *runner) abortFor(l *lane, why string) {
	c := l.in
	s.fail(c, protocol.None, why)
	if c != s.sending {
		s.again() // nothing of it was sent
	}
}

// giveUp aborts the open transaction.
func (s *runner) giveUp() {
	c := s.sending
	if c.onWire > 0 || s.starter.begun.deciding {
		return // answers first
	}
	if !c.failed {
		_, code, detail := s.m.Err()
		c.failed, c.why = true, detail
		for _, topic := range s.m.Refused() {
			if l := s.byTopic[topic]; l != nil {
				s.producer.block(l, code, detail)
			}
		}
		if l := s.byTopic[s.m.ProgressRefused()]; l != nil {
			s.progressRefused(l, code, detail)
		}
	}
	if c.unacked > 0 || len(c.dead) > 0 {
		s.m.Doubt() // the next one does not rely on what the leaders have of this one
	}
	s.starter.trial.say(c.why)
	s.m.Abort()
	if s.m.State() == txn.Ready {
		s.aborted()
	}
}

// aborted: the open transaction ended with abort.
func (s *runner) aborted() {
	c := s.sending
	s.markers.aborted(c)
	if c.healing != nil {
		s.sending = nil
		s.markers.looked(c.healing, true)
		return
	}
	s.event(sender.TransactionEnded{
		ID: s.cfg.ID, Ordinal: c.ordinal, Records: c.records, Partitions: len(c.parts), Ms: s.now.Age - c.beganAt, Why: c.why,
	})
	s.bury(c.dead)
	s.sending = nil
	if c.online != nil {
		s.endOnline(c.online, false, c.why)
	} else if len(c.dead) == 0 {
		s.shape.aborts++
		s.shape.pauseUntil = s.now.Age + s.backoff.After(s.shape.aborts)
	}
	s.again()
}

// again has everything that has not left the spool read and sent again, but for what the transactions carry that are on
// their way or decided on.
func (s *runner) again() {
	for _, l := range s.followed {
		for _, p := range l.parts {
			s.dropFlights(p)
		}
		if l.feedID != 0 {
			l.feedID, s.reader.feeding, l.bytes = 0, s.reader.feeding-l.bytes, 0
		}
		l.rewind()
	}
	if c := s.ending; c != nil && c.ordinal > 0 {
		s.passOver(c)
	}
	if s.sending != nil {
		s.passOver(s.sending)
	}
	s.markers.reread = false
	s.fill = newCut()
}

// dropFlights gives up the batches of a partition, but for those of the open transaction.
func (s *runner) dropFlights(p *partition) {
	rest := p.queue[:0]
	for _, f := range p.queue {
		switch {
		case f.cut == s.sending:
			rest = append(rest, f)
		case f.sent:
			f.dead = true
		default:
			s.producer.recycle(f)
		}
	}
	clear(p.queue[len(rest):])
	p.queue, p.open = rest, nil
	if s.sending == nil {
		p.onWire, p.muted, p.attempts = 0, false, 0
	}
}

// passOver has what a fixed cut carries not read again.
func (s *runner) passOver(c *cut) {
	for _, r := range c.runs {
		l := s.lanes[r.Lane]
		l.pos = l.skip(max(l.pos, r.End))
		l.gate, l.from = l.pos, l.pos
	}
}
