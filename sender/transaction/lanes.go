package transaction

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// Committed takes what one spool commit made durable. The bytes of its sections are copied before
// it returns.
func (s *Sender) Committed(now spool.Time, c *spool.Committed) *sender.Effects {
	s.enter(now)
	s.durable(c.Writes)
	for _, n := range c.Lanes {
		l := s.byTopic[n.Topic]
		switch {
		case l == nil:
			s.reader.addLane(n.ID, n.Topic, protocol.TopicID{})
		case l.guest:
			l.guest, l.id = false, n.ID
			s.lanes = append(s.lanes, l)
		}
	}
	// All ends first: a unit may have entries in sections that come later.
	for i := range c.Sections {
		sec := &c.Sections[i]
		if n := len(sec.Spans); n > 0 {
			l := s.lanes[sec.Lane]
			if l.settled.Low() >= l.end {
				l.since = s.now.Age
			}
			l.end = max(l.end, sec.Spans[n-1].End)
			s.view.SetPending(l.remote, true)
		}
	}
	for again := true; again; {
		again = false
		for i := range c.Sections {
			sec := &c.Sections[i]
			if n := len(sec.Spans); n == 0 || sec.Bytes == nil || s.stop != nil || s.starter.phase != running {
				continue
			} else if l := s.lanes[sec.Lane]; l.feedID == 0 && l.pos >= sec.Spans[0].First && l.pos < sec.Spans[n-1].End {
				before := l.pos
				s.reader.take(l, sec)
				again = again || l.pos > before && l.pos < sec.Spans[n-1].End && l.why == otherLane
			}
		}
	}
	return s.end()
}

// feed asks for what lanes may take now.
func (s *reader) feed() {
	if s.closing {
		return
	}
	s.turn++
	chunk := min(max(s.cfg.BufferMemory/8, 256), 1<<20)
	for k := range s.lanes {
		l := s.lanes[(k+s.turn)%len(s.lanes)]
		if l.pos = l.skip(l.pos); l.pos >= l.end || l.feedID != 0 {
			continue
		}
		switch l.why {
		case free:
		case noTopic:
			if s.now.Age < l.retryAt {
				s.wake(l.retryAt)
				continue
			}
			if !s.writable(l) || l.waitFor != nil && !s.writable(l.waitFor) {
				continue
			}
		case otherLane:
			// Looked at again when the other lane has moved.
			if l.waitFor != nil && l.waitFor.pos < l.waitFor.end {
				continue
			}
		default:
			continue
		}
		if s.fill == nil || !s.fill.open() && l.pos >= l.gate {
			l.why = cutFull
			continue
		}
		if !s.writable(l) && l.pos >= l.gate {
			l.why = noTopic
			continue
		}
		if !s.acc.Room(s.feeding+chunk) && s.acc.Used()+s.feeding > 0 {
			s.waitForMemory(l)
			continue
		}
		s.feedID++
		l.feedID, l.bytes, l.why = s.feedID, chunk, free
		s.feeding += chunk
		s.eff.Feed = append(s.eff.Feed, sender.Feed{ID: s.feedID, Lane: l.id, From: l.pos, Bytes: chunk})
	}
}

// Fed takes the answer to a Feed.
func (s *Sender) Fed(now spool.Time, f *sender.Fed) *sender.Effects {
	s.enter(now)
	l := s.lanes[f.Lane]
	if l.feedID != f.ID || s.stop != nil {
		return s.end()
	}
	l.feedID, s.reader.feeding, l.bytes = 0, s.reader.feeding-l.bytes, 0
	if s.starter.phase != running || f.From != l.pos {
		return s.end() // everything is read again
	}
	for i := range f.Sections {
		if !s.reader.take(l, &f.Sections[i]) {
			return s.end()
		}
	}
	l.pos = max(l.pos, min(f.Next, l.end))
	return s.end()
}

// waitForMemory has l wait for it. What waits for company (linger.ms) goes meanwhile: there is no room for it.
func (s *reader) waitForMemory(l *lane) {
	l.why = noMemory
	if !s.short {
		s.short = true
		s.wake(s.now.Age + 1)
	}
}

// release has lanes that wait for a reason look again.
func (s *reader) release(why stall) {
	s.short = s.short && why != noMemory
	for _, l := range s.lanes {
		if l.why == why {
			l.why, l.waitFor = free, nil
		}
	}
}

// take puts entries of a section into batches as far as they are admitted. It reports whether all were.
func (s *reader) take(l *lane, sec *spool.Section) bool {
	rest := sec.Bytes
	for _, sp := range sec.Spans {
		for i := sp.First; i < sp.End; i++ {
			e, r, err := spool.NextEntry(rest)
			if err != nil {
				s.stop = &sender.DamageError{Err: fmt.Errorf("entry %d of topic %q: %w", i, l.topic, err)}
				return false
			}
			rest = r
			if i < l.pos || l.settled.Contains(i) {
				l.pos = max(l.pos, i+1)
				continue
			}
			if i >= l.gate && !s.admit(l, i, &e) {
				return false
			}
			if !s.place(l, i, &e) {
				return false
			}
			l.pos = i + 1
		}
	}
	l.why = free
	return true
}

// admit lets the unit that begins at entry i of l into the cut that is being filled, if all of its
// topics can be written to and were read up to it.
func (s *reader) admit(l *lane, i spool.Index, e *spool.Entry) bool {
	c := s.fill
	if c == nil || !c.open() {
		l.why = cutFull
		return false
	}
	runs := e.Runs()
	if runs == nil {
		runs = s.single(l.id, i)
	}
	n := 0
	for _, r := range runs {
		if int(r.Lane) >= len(s.lanes) || r.Lane == l.id && r.First != i {
			s.stop = &sender.DamageError{Err: fmt.Errorf("entry %d of topic %q begins the unit %v", i, l.topic, runs)}
			return false
		}
		x := s.lanes[r.Lane]
		n += r.Count
		if s.waitsForOnline(r.Lane, r.First) {
			l.why = cutFull
			return false
		}
		early := x.early.holds(&r, s.now.Age)
		if s.now.Age < x.retryAt || early > 0 || !s.writable(x) {
			l.why, l.waitFor = noTopic, x
			l.retryAt = max(l.retryAt, x.retryAt, early)
			if early > 0 {
				l.detail, l.blocked = x.early.why, x.early.why
			} else if x != l {
				l.cannotWrite(x)
			}
			s.wake(max(l.retryAt, s.now.Age+s.cfg.RetryBackoffMaxMs))
			return false
		}
		if x.gate = max(x.gate, x.skip(x.gate)); x.gate != r.First {
			if x.gate > r.First {
				s.stop = &sender.DamageError{Err: fmt.Errorf("unit %v at entry %d of topic %q: topic %q is at %d already", runs, i, l.topic, x.topic, x.gate)}
				return false
			}
			l.why, l.waitFor = otherLane, x
			return false
		}
		if x.waitsFor(&r) {
			l.why, l.waitFor = noTopic, x
			if x != l {
				l.cannotWrite(x)
			}
			return false
		}
	}
	if c.records > 0 && c.records+n > s.cfg.MaxRecords {
		c.full = true
		l.why = cutFull
		return false
	}
	for _, r := range runs {
		x := s.lanes[r.Lane]
		if x.in != c {
			x.in, x.from = c, r.First
			c.lanes = append(c.lanes, x)
		}
		x.gate = r.Span().End
		x.detail, x.retries = "", 0
		if x != l && x.why == otherLane {
			x.why, x.waitFor = free, nil
		}
	}
	s.release(otherLane)
	if c.records == 0 {
		c.since = s.now.Age
	}
	c.records += n
	c.admitted++
	if len(runs) > 1 || runs[0].Count > 1 {
		c.units = append(c.units, append([]spool.UnitRun(nil), runs...))
	}
	return true
}

// single is the unit of one entry; valid until the next call.
func (s *reader) single(lane spool.LaneID, i spool.Index) []spool.UnitRun {
	s.alone[0] = spool.UnitRun{Lane: lane, First: i, Count: 1}
	return s.alone[:]
}

// writable reports whether every partition of a lane's topic can be written to now. It looks once in a call.
func (s *reader) writable(l *lane) bool {
	if l.lookedAt != s.calls {
		l.lookedAt, l.canWrite = s.calls, s.look(l)
	}
	return l.canWrite
}

func (s *reader) look(l *lane) bool {
	t := l.remote
	switch {
	case l.held > 0:
		l.detail = l.heldWhy
		return false
	case l.parked != "":
		l.detail = l.parked
		return false
	case l.lost > 0:
		l.detail = "the marker of a transaction is missing, and is being written"
		return false
	case l.unsure > 0:
		l.detail = l.unsureWhy()
		return false
	}
	if t.Code != protocol.None || t.Count == 0 || t.Recreated || t.Uncertain() || l.stuck() {
		if l.detail == "" || t.Code != protocol.None {
			l.detail = "the topic is not known yet"
			if t.Code != protocol.None {
				l.detail = t.Code.String()
			}
		}
		return false
	}
	for n := range t.Count {
		if _, o, ok := s.view.Way(t, n); !ok {
			if o.Why != "" {
				l.detail = fmt.Sprintf("partition %d: %s", n, o.Why)
			}
			return false
		}
	}
	return true
}

// place puts one entry into a batch of its partition. It reports false if there is no room, or no
// such partition.
func (s *reader) place(l *lane, i spool.Index, e *spool.Entry) bool {
	n := s.choose(l, i, e)
	if n >= l.remote.Count {
		l.missing, l.lacking = n, i
		l.detail = l.lacks()
		s.runner.abortFor(l, fmt.Sprintf("%s has no partition %d", l.topic, n))
		l.why = noTopic
		return false
	}
	p := l.partition(n)
	if b := p.open; b != nil && (b.cut != l.in || !s.acc.Fits(b.batch, e) || i < l.alone) {
		b.batch.Finish()
		p.open = nil
	}
	if p.open == nil {
		b := s.acc.NewBatch(accumulator.Target{Lane: l.id, Topic: l.topic, TopicID: l.remote.Bound, Partition: n, Hint: p.hint, Sizing: &l.sizing}, s.now.Age, i, e)
		if b == nil {
			s.waitForMemory(l)
			return false
		}
		p.open = &flight{batch: b, part: p, cut: l.in}
		p.queue = append(p.queue, p.open)
		l.in.unacked++
	} else if !s.acc.Join(p.open.batch, i, e) {
		s.waitForMemory(l)
		return false
	}
	if l.in.bytes += len(e.Body); l.in.bytes >= s.runner.limitBytes() {
		l.in.full = true
	}
	return true
}
