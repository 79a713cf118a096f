package sender

import (
	"slices"
	"strings"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Status is a copy of what is known now; it shares nothing with the sender.
func (s *Sender) Status(now spool.Time) Status {
	link := s.view.Link()
	st := Status{
		ClusterID: s.view.ID(), Producer: s.identity,
		LinkUp: link.Up, LinkErr: link.Err, LinkSince: max(link.Since, 0),
		Brokers: s.view.Connected(), Retries: s.e.Retries,
	}
	for _, l := range s.lanes {
		st.Topics = append(st.Topics, s.topicStatus(l))
	}
	slices.SortFunc(st.Topics, func(a, b TopicStatus) int { return strings.Compare(a.Topic, b.Topic) })
	return st
}

// Settled is the index of a lane below which all have left; 0 for a lane that was not announced yet.
func (s *Sender) Settled(id spool.LaneID) spool.Index {
	if int(id) >= len(s.lanes) {
		return 0
	}
	return s.lanes[id].acc.Settled()
}

// Buffered is how many bytes batches and what is being read back take: what buffer.memory bounds, but
// for one batch that is larger than all of it.
func (s *Sender) Buffered() int { return s.acc.Used() + s.feeding }

func (s *Sender) topicStatus(l *lane) TopicStatus {
	t := TopicStatus{
		Lane: l.id, Topic: l.topic, TopicID: l.remote.Bound, End: l.acc.End, Settled: l.acc.Settled(), State: "idle",
	}
	pending := l.acc.Pending()
	resolving, parked := false, false
	for _, p := range l.parts {
		if p.Phase() == idempotence.Unknown && p.Idle() && p.Sequences().LastOffset == protocol.NoOffset && !p.Park().Parked() {
			continue
		}
		ps := s.partitionStatus(p)
		parked = parked || ps.State == "parked"
		resolving = resolving || ps.State == "resolving"
		t.Partitions = append(t.Partitions, ps)
	}
	t.PartitionCount = l.acc.Partitions()
	if pending {
		t.Trouble = s.topicTrouble(l)
		t.Detail = t.Trouble
	}
	switch {
	case parked:
		t.State = "parked"
	case pending && l.remote.Code != protocol.None:
		t.State = "unknown-topic"
	case pending && !s.view.Link().Up:
		t.State, t.Detail = "waiting", s.view.Link().Err
	case pending && t.Trouble != "":
		t.State = "waiting"
	case resolving:
		t.State = "resolving"
	case pending:
		t.State = "delivering"
	}
	return t
}

func (s *Sender) partitionStatus(p *partition) PartitionStatus {
	leader, _ := p.leader()
	seq := p.Sequences()
	ps := PartitionStatus{
		Partition: p.ID, Leader: leader, State: p.Phase().String(), InFlight: p.InFlight(),
		LastOffset: seq.LastOffset, Identity: seq.Identity, Park: p.Park(),
		Detail: p.Detail, MayAsk: p.MayAsk(),
	}
	if p.open().asking != nil {
		ps.State = "asking"
	}
	switch {
	case p.Phase() != idempotence.Ready:
		ps.InDoubt = p.InDoubt()
	case p.RefusedMaybe() > 0:
		ps.InDoubt = p.RefusedMaybe()
		ps.State, ps.Detail = "resolving", "refused, and perhaps in the log: decided after the next record's ack"
	}
	return ps
}

// stuckAfter is how long records of a topic wait, with the link up and nothing of the topic leaving, before that is
// trouble, in ms.
const stuckAfter = 60_000

// topicTrouble says why records of l that wait cannot leave, or "". It counts on an operator, or on time.
func (s *Sender) topicTrouble(l *lane) string {
	if l.remote.Code != protocol.None {
		return l.remote.Code.String() + ": " + s.view.Advice(l.remote.Code)
	}
	if n, ok := l.acc.AbsentPartition(); ok {
		return "records wait for partition " + itoa(n) + ", the topic has " + itoa(l.acc.Partitions())
	}
	link := s.view.Link()
	if !link.Up {
		return ""
	}
	progress := max(l.since, link.Since)
	for _, p := range l.parts {
		progress = max(progress, p.Progress)
		stuck := s.now.Age-max(p.since, p.Progress, link.Since) >= stuckAfter
		if p.active && p.Phase() != idempotence.Parked && p.Detail != "" && (p.RefusedForNow() || stuck) {
			return "partition " + itoa(p.ID) + ": " + p.Detail
		}
	}
	if s.now.Age-progress >= stuckAfter {
		return "no record of the topic has left for " + itoa(int32((s.now.Age-progress)/1000)) + " s"
	}
	return ""
}
