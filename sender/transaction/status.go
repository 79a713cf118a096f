package transaction

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// Status is a copy of what is known now; it shares nothing with the sender.
func (s *Sender) Status(now spool.Time) sender.Status {
	link := s.view.Link()
	st := sender.Status{
		ClusterID: s.view.ID(), Producer: protocol.NoIdentity,
		LinkUp: link.Up, LinkErr: link.Err, Foreign: link.Foreign, LinkSince: max(link.Since, 0),
		Brokers: s.view.Connected(), Retries: s.producer.retries, Transaction: s.transaction(now),
	}
	st.Producer = st.Transaction.Identity
	for _, l := range s.lanes {
		t := s.reader.topic(l, link.Up, link.Err)
		if l.unread {
			t.Detail = strings.TrimPrefix(t.Detail+"; "+mayNotRead, "; ")
		}
		t.Trouble = s.reader.trouble(l, t.Detail, now.Age)
		st.Topics = append(st.Topics, t)
	}
	slices.SortFunc(st.Topics, func(a, b sender.TopicStatus) int { return strings.Compare(a.Topic, b.Topic) })
	return st
}

func (s *Sender) transaction(now spool.Time) *sender.TransactionStatus {
	t := &sender.TransactionStatus{
		ID: s.cfg.ID, State: phaseNames[s.starter.phase], Version: s.starter.version, Finalized: s.starter.finalized, Coordinator: -1, Identity: s.known.Identity,
		Ordinal: s.known.Decision.Ordinal, Committed: s.known.Committed, Park: s.known.Decision.Park, Fenced: s.known.Fenced, Detail: s.starter.trial.detail,
		InDoubt: s.known.Decision.Open() && s.ending == nil,
	}
	if t.Parked = len(s.known.Parked); t.Parked > 0 {
		t.Park, t.InDoubt = s.known.Parked[0].Park, true
	}
	t.Unconfirmed, t.Missing, t.Written = len(s.markers.waiting), len(s.markers.lost), s.markers.healed
	if h := s.sending; h != nil && h.healing != nil {
		t.Missing += len(h.healing.places)
	}
	if v := s.says.said; v != nil {
		said := *v
		said.AgoMs = now.Age - v.At
		t.Broker = &said
	}
	if s.m != nil {
		t.Coordinator = s.m.Coordinator()
		if id := s.m.Identity(); id.Valid() {
			t.Identity = id
		}
		if s.starter.phase == running {
			t.State, t.Version = s.m.State().String(), s.m.Version()
		}
	}
	c := s.sending
	if c == nil {
		c = s.ending
	}
	if c != nil {
		t.Open, t.Records, t.OpenMs = true, c.records, max(now.Age-c.beganAt, 0)
		if s.m.State().String() == "ready" {
			t.State = "ending"
		}
	}
	return t
}

func (s *reader) topic(l *lane, up bool, why string) sender.TopicStatus {
	t := sender.TopicStatus{Lane: l.id, Topic: l.topic, TopicID: l.remote.Bound, End: l.end, Settled: l.settled.Low(), State: "idle", PartitionCount: l.remote.Count}
	for _, p := range l.parts {
		leader, _ := l.remote.Leader(p.id)
		ps := sender.PartitionStatus{
			Partition: p.id, Leader: leader, State: "ready", InFlight: len(p.queue), LastOffset: protocol.Offset(p.offset),
			Identity: p.identity, Detail: p.detail, MayAsk: !l.unread,
		}
		t.Partitions = append(t.Partitions, ps)
	}
	if l.settled.Low() >= l.end {
		return t
	}
	t.Detail = l.detail
	switch {
	case s.starter.phase == parked || l.held > 0 || l.parked != "":
		t.State = "parked"
	case l.remote.Code != protocol.None:
		t.State, t.Detail = "unknown-topic", l.remote.Code.String()
	case !up:
		t.State, t.Detail = "waiting", why
	case s.starter.phase == fenced:
		t.State, t.Detail = "waiting", s.known.Fenced
	case s.standing() != "":
		t.State, t.Detail = "waiting", s.standing()
	case l.why == noTopic:
		t.State = "waiting"
	case l.blocked != "": // also while it is tried again
		t.State, t.Detail = "waiting", l.blocked
	default:
		t.State, t.Detail = "delivering", s.starter.trial.detail
	}
	return t
}

// stuckAfter is how long records of a topic wait, with the link up and nothing of the topic leaving, before that is trouble, in ms.
const stuckAfter = 60_000

// trouble says why records of a topic that wait cannot leave, or "", at an age of the spool that nothing may have happened at.
func (s *reader) trouble(l *lane, detail string, age int64) string {
	link := s.view.Link()
	switch {
	case l.settled.Low() >= l.end:
		return ""
	case l.held > 0, l.parked != "":
		return detail
	case l.remote.Code != protocol.None:
		return detail + ": " + s.view.Advice(l.remote.Code)
	case l.missing >= l.remote.Count && l.missing >= 0:
		return l.lacks() + sender.PartitionAdvice(l.topic, l.missing)
	case age < l.retryAt && l.why == noTopic:
		return l.detail
	case l.blocked != "":
		return l.blocked
	case !link.Up:
		return ""
	case s.standing() != "":
		return s.standing()
	}
	waits := age - max(l.since, link.Since)
	if waits < stuckAfter {
		return ""
	}
	why := fmt.Sprintf("no record of the topic has left for %d s", waits/1000)
	if detail != "" {
		why += ": " + detail
	}
	return why
}

// Buffered is how many bytes batches and what is being read back take.
func (s *Sender) Buffered() int { return s.acc.Used() + s.reader.feeding }

// Settled is the index of a lane below which all have left; 0 for a lane that was not announced yet.
func (s *Sender) Settled(id spool.LaneID) spool.Index {
	if int(id) >= len(s.lanes) {
		return 0
	}
	low := s.lanes[id].settled.Low()
	for _, x := range s.markers.waiting { // committed, and their markers were not seen yet
		for _, r := range x.runs {
			if r.Lane == id {
				low = min(low, r.First)
			}
		}
	}
	return low
}
