package sender

import (
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// partition joins the machine of one partition with the way to its leader, and with what the leader is asked.
type partition struct {
	*idempotence.Machine
	lane *lane

	way      cluster.Way         // to the leader, when it was used last
	needMeta cluster.Generation  // that must have come before the leader is asked
	check    cluster.LeaderCheck // before it is parked
	question question            // see open
	cloned   bool                // its leader has answered the clone check
	active   bool                // in Sender.active
	since    int64               // Age since which it is
}

// question is what is asked for a machine. All of it is void once the machine is in another round.
type question struct {
	round  uint64
	ask    bool // DescribeProducers and the log's end are to be asked for
	asking *asking
	tail   *tailRead
	feed   uint64              // the Feed under way for readBack, or 0
	batch  *idempotence.Sealed // whose entries are read back
}

// open is what is asked for p and not void.
func (p *partition) open() *question {
	if round := p.Round(); p.question.round != round {
		p.question = question{round: round}
	}
	return &p.question
}

// leader is the broker that leads p, or -1, and its leader epoch.
func (p *partition) leader() (broker, epoch int32) { return p.lane.remote.Leader(p.ID) }

// env is what a call of p's machine is given. took comes after the call.
func (s *Sender) env(p *partition) *idempotence.Env {
	e := &s.e
	e.Now, e.Identity, e.Former = s.now, s.identity, s.former
	e.TopicID = p.lane.remote.Bound
	e.MaySeal, e.WhyNot = s.mayUseIdentity() && !s.cfg.FinishOnly, waitsForCloneCheck
	e.NoIdentity = ""
	if s.identify.retryAt > s.now.Age {
		e.NoIdentity = s.identify.err
	}
	e.Closing = s.closing
	return e
}

// took notes what a call of p's machine changed for others. What it left in Steps is taken when the call of the
// core ends.
func (s *Sender) took(p *partition) {
	l := p.lane
	s.left(l)
	if n := p.Sequences(); !s.clones.over && n.LastOffset >= 0 {
		l.remote.Expected = max(l.remote.Expected, p.ID+1)
	}
	if s.e.AnotherIdentity {
		s.identify.another, s.e.AnotherIdentity = true, false
	}
	if s.e.Damage != nil && s.stop == nil {
		s.stop = &DamageError{s.e.Damage}
	}
}

// left notes that entries of l may have left.
func (s *Sender) left(l *lane) {
	s.view.SetPending(l.remote, l.acc.Pending())
	if l.flushing && l.acc.Settled() >= l.flushTo {
		l.flushing = false
		s.flushing--
	}
}

// advance takes one partition as far as it can go now.
func (s *Sender) advance(p *partition) {
	e := s.env(p)
	n := len(e.Events)
	p.Review(e)
	s.reportOnce(p, n)
	s.took(p)
	if p.Phase() == idempotence.Parked || s.stop != nil {
		return
	}
	way, ok := s.reach(p)
	if !ok {
		return
	}
	p.way = way
	want := p.Advance(e, way.Number)
	s.took(p)
	q := p.open()
	switch want.Do {
	case idempotence.Ask:
		if s.view.Generation() < p.needMeta {
			s.view.Want() // the topic may have been recreated, or have moved
		} else {
			q.ask = q.asking == nil
		}
	case idempotence.ReadTail:
		s.readTail(p, want.From, want.To)
	case idempotence.ReadBack:
		s.readBack(p, &want)
	case idempotence.Confirm:
		if s.confirmed(p) {
			p.ParkFor(s.env(p), want.Reason, want.Detail)
		}
	case idempotence.Stop:
		s.stopForGood(p, want.Detail)
	}
	if p.Phase() != idempotence.Resolving {
		p.check = cluster.LeaderCheck{}
	}
}

// reportOnce keeps, of the events from number n on, only the first TopicTrouble of a kind.
func (s *Sender) reportOnce(p *partition, n int) {
	kept := s.e.Events[:n]
	for _, ev := range s.e.Events[n:] {
		if t, ok := ev.(TopicTrouble); ok && !p.lane.remote.ReportOnce(t.Code) {
			continue
		}
		kept = append(kept, ev)
	}
	s.e.Events = kept
}

// reach is how p's leader is reached. If it is not, p is blocked and what is missing was asked for.
func (s *Sender) reach(p *partition) (cluster.Way, bool) {
	w, o, ok := s.view.Way(p.lane.remote, p.ID)
	if ok {
		return w, true
	}
	if o.Why != "" {
		p.Detail = o.Why
	}
	if o.Hold != cluster.Unchanged {
		p.Block(&s.e, o.Hold == cluster.PassedBy)
	}
	return w, false
}

// confirmed reports whether p may be parked for what its leader says. If not, the leader is asked again later.
func (s *Sender) confirmed(p *partition) bool {
	verdict, generation := s.view.Confirm(p.lane.remote, p.ID, &p.check)
	if verdict == cluster.Confirmed {
		return true
	}
	p.AskAgain(&s.e)
	if verdict == cluster.Later {
		p.Wait(&s.e, "another broker is looked for, to ask who leads")
		return false
	}
	p.needMeta = generation
	p.Detail = "another broker is asked who leads"
	return false
}

// readBack reads a sealed batch's entries back from the spool.
func (s *Sender) readBack(p *partition, want *idempotence.Want) {
	q := p.open()
	if q.batch != want.Batch {
		q.batch, q.feed = want.Batch, 0
	}
	if q.feed != 0 || !s.mayReadBack(p, want.Batch) {
		return
	}
	s.feedID++
	q.feed = s.feedID
	s.eff.Feed = append(s.eff.Feed, Feed{ID: s.feedID, Lane: p.lane.id, From: want.Index, Bytes: 1 << 20})
}

// extra is the one batch that may be read back although there is no room for it.
type extra struct {
	p     *partition
	batch *idempotence.Sealed
}

// mayReadBack reports whether there is room for the bytes of b. One batch at a time may always be read back.
func (s *Sender) mayReadBack(p *partition, b *idempotence.Sealed) bool {
	room := func() bool { return s.acc.Room(s.feeding + s.cfg.BatchSize) }
	if room() || s.extra.batch == b {
		return true
	}
	s.giveUp()
	if x := s.extra; room() {
		return true
	} else if x.batch != nil && (x.batch.Batch != nil || x.p.open().batch == x.batch && x.p.question.feed != 0) {
		return false
	}
	s.extra = extra{p, b}
	return true
}

// readingBack is the partition that a Feed was asked for, or nil.
func (s *Sender) readingBack(feedID uint64) *partition {
	for _, p := range s.active {
		if p.open().feed == feedID {
			return p
		}
	}
	return nil
}

// stopForGood records that somebody else used this spool's identity (P11).
func (s *Sender) stopForGood(p *partition, detail string) {
	reason := p.lane.topic + "-" + itoa(p.ID) + ": " + detail
	s.e.Write.Stop, s.e.Urgent = reason, true
	s.stop = &StoppedError{Reason: reason}
}

// state is what has to be durable of p.
func (p *partition) state() spool.PartitionState {
	st := p.State()
	_, st.LeaderEpoch = p.leader()
	return st
}
