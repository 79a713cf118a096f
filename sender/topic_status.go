package sender

import (
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
)

// stuckAfter is how long records of a topic wait, with the link up and nothing of the topic leaving, before that is
// trouble, in ms.
const stuckAfter = 60_000

// refusedMaybe is what is said of a partition whose first record was refused, and of which an earlier copy may be on its way still.
const refusedMaybe = "refused, and perhaps in the log: decided after the next record's ack"

func (ts *topics) topicStatus(l *lane, age int64) TopicStatus {
	t := TopicStatus{
		Lane: l.id, Topic: l.topic, TopicID: l.remote.Bound, End: l.acc.End, Settled: l.acc.Settled(), State: "idle",
	}
	pending := l.acc.Pending()
	resolving, parked := false, false
	for _, p := range l.parts {
		if p.Phase() == idempotence.Unknown && p.Idle() && p.Sequences().LastOffset == protocol.NoOffset && !p.Park().Parked() {
			continue
		}
		ps := ts.partitionStatus(p)
		parked = parked || ps.State == "parked"
		resolving = resolving || ps.State == "resolving"
		t.Partitions = append(t.Partitions, ps)
	}
	t.PartitionCount = l.acc.Partitions()
	if pending {
		t.Trouble = ts.topicTrouble(l, age)
		t.Detail = t.Trouble
	}
	if t.Detail == "" && l.unread() {
		t.Detail = mayNotRead
	}
	switch {
	case parked:
		t.State = "parked"
	case pending && l.remote.Code != protocol.None:
		t.State = "unknown-topic"
	case pending && !ts.view.Link().Up:
		t.State, t.Detail = "waiting", ts.view.Link().Err
	case pending && t.Trouble != "":
		t.State = "waiting"
	case resolving:
		t.State = "resolving"
	case pending:
		t.State = "delivering"
	}
	return t
}

func (ts *topics) partitionStatus(p *partition) PartitionStatus {
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
	case waitsForNext(p):
		ps.InDoubt = p.RefusedMaybe()
		ps.State, ps.Detail = "resolving", refusedMaybe
	}
	return ps
}

// waitsForNext reports whether a refused record of p is decided by the ack of the next one.
func waitsForNext(p *partition) bool { return p.Phase() == idempotence.Ready && p.RefusedMaybe() > 0 }

// PartitionAdvice says what can be done about records for partition n of topic, which does not have it.
func PartitionAdvice(topic string, n int32) string {
	return ": add partitions to it (they are seen within metadata.max.age.ms, and at a start), or put them aside (spoold resolve " + topic + ":" + itoa(n) + " --dead-letter --waiting)"
}

// topicTrouble says why records of l that wait cannot leave, or "", at an age of the spool that nothing may
// have happened at. It counts on an operator, or on time.
func (ts *topics) topicTrouble(l *lane, age int64) string {
	if l.remote.Code != protocol.None {
		return l.remote.Code.String() + ": " + ts.view.Advice(l.remote.Code)
	}
	if n, ok := l.acc.AbsentPartition(); ok {
		return "records wait for partition " + itoa(n) + ", the topic has " + itoa(l.acc.Partitions()) + PartitionAdvice(l.topic, n)
	}
	link := ts.view.Link()
	switch {
	case !link.Up:
		return ""
	case ts.denied:
		return ts.noIdentity
	}
	progress := max(l.since, link.Since)
	for _, p := range l.parts {
		progress = max(progress, p.Progress)
		stuck := age-max(p.since, p.Progress, link.Since) >= stuckAfter
		if stuck && waitsForNext(p) { // others of the topic may leave meanwhile
			return "partition " + itoa(p.ID) + ": " + refusedMaybe
		}
		if p.active && p.Phase() != idempotence.Parked && p.Detail != "" && (p.RefusedForNow() || p.WaitsForTime() || p.WaitsForDeadRoom() || stuck) {
			return "partition " + itoa(p.ID) + ": " + p.Detail
		}
	}
	if age-progress >= stuckAfter {
		return "no record of the topic has left for " + itoa(int32((age-progress)/1000)) + " s"
	}
	return ""
}
