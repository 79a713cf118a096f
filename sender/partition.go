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

	active    bool  // in work.active, at place
	since     int64 // Age since which it is
	place     int
	touched   bool  // in work.touched
	dueAt     int64 // Age; in work.due, at heapPlace, if it is not 0
	heapPlace int
	ready     *readyList // that it is on, or nil
	starved   bool       // in feeds.starved
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

// look takes one partition as far as it can go now, notes when it has to be looked at again, and whether it has
// anything to send.
func (s *Sender) look(p *partition) {
	before := s.e.WakeAt
	s.e.WakeAt = 0
	s.advance(p)
	s.drain.enlist(p)
	s.setDue(p, s.e.WakeAt)
	s.e.WakeAt = before
}

func (s *Sender) advance(p *partition) {
	e := s.env(p)
	n := len(e.Events)
	p.Review(e)
	s.reportOnce(p, n)
	s.collect(p)
	if p.lane.acc.WantsSize() {
		cluster.AskSize(s.view, p.lane.remote)
	}
	if p.Phase() == idempotence.Parked || s.stop != nil {
		return
	}
	way, ok := s.reach(p)
	if !ok {
		return
	}
	p.way = way
	s.acc.Led(p.Queue, way.Broker)
	want := p.Advance(e, way.Number)
	s.collect(p)
	switch want.Do {
	case idempotence.Ask:
		if s.view.Generation() < p.needMeta {
			s.view.Want() // the topic may have been recreated, or have moved
		} else {
			s.questions.want(p)
		}
	case idempotence.ReadTail:
		s.questions.readTail(p, want.From, want.To)
	case idempotence.ReadBack:
		s.feeds.readBack(p, &want)
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

// state is what has to be durable of p.
func (p *partition) state() spool.PartitionState {
	st := p.State()
	_, st.LeaderEpoch = p.leader()
	return st
}
