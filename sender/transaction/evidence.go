package transaction

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

const (
	evidenceBytes = 64 << 10 // of one Fetch: the first batch comes whole in any case
	fetchMax      = 12       // from version 13 on topics go by id only
)

// search looks for the decided transaction's own records, because its progress is gone.
func (s *starter) search(why string) {
	s.phase, s.begun.searched, s.begun.open, s.begun.hanging, s.begun.unstable = searching, 0, 0, 0, 0
	s.begun.why = why
	s.starting()
}

// evidence is what the logs say of the decided transaction.
type evidence struct{ *starter }

// ask asks the leader of the next partition that the transaction wrote to.
func (s evidence) ask() {
	d := &s.known.Decision
	for ; s.begun.searched < len(d.Partitions); s.begun.searched++ {
		x := &d.Partitions[s.begun.searched]
		l := s.byTopic[x.Topic]
		switch {
		case x.First < 0:
			continue // a duplicate was acknowledged, without an offset
		case l == nil || l.remote.Code != protocol.None && s.view.Generation() > 0:
			s.missed("the topic cannot be reached")
			continue
		case l.remote.Bound != x.TopicID || l.remote.Recreated:
			s.missed("the topic was created anew")
			continue
		}
		leader, epoch, ok := s.leaderOf(x)
		if !ok {
			return
		}
		s.begun.asked = true
		r := fetchFirst(protocol.TopicPartition{Topic: x.Topic, Partition: x.Partition}, int64(x.First), epoch)
		s.request(sender.Request{Kind: sender.KindControl, Broker: leader, Message: r, MaxVersion: fetchMax}, &request{kind: reqEvidence, begun: s.begun.id})
		return
	}
	if s.sawAbort == d.Ordinal {
		s.audit("transaction %d: %s (%s); its coordinator told", d.Ordinal, outcomeWord(false), s.begun.why)
		s.settleStart(false)
		return
	}
	if !(hanging{s}).ask() {
		s.park(s.begun.why)
	}
}

// leaderOf is the broker that leads a partition of the decided transaction, and its epoch. If there is none that can be reached, the
// start goes on later.
func (s evidence) leaderOf(x *spool.DecidedPartition) (leader, epoch int32, ok bool) {
	if l := s.byTopic[x.Topic]; l != nil {
		leader, epoch = l.remote.Leader(x.Partition)
		if _, _, way := s.view.Way(l.remote, x.Partition); way && leader >= 0 {
			return leader, epoch, true
		}
	}
	s.lookAgain(fmt.Sprintf("%s-%d, whose log tells what became of transaction %d, has no leader that can be reached", x.Topic, x.Partition, s.known.Decision.Ordinal))
	return -1, -1, false
}

// fetchFirst reads, as read_committed, what is at a transaction's first offset in a partition.
func fetchFirst(tp protocol.TopicPartition, first int64, epoch int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = -1, 0, 0, evidenceBytes
	r.SessionEpoch, r.IsolationLevel = -1, 1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = tp.Topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = tp.Partition, first, evidenceBytes
	p.CurrentLeaderEpoch, p.LogStartOffset = epoch, -1 // who was the leader does not answer then
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	return r
}

// missed notes why a partition's log does not tell.
func (s evidence) missed(why string) {
	x := &s.known.Decision.Partitions[s.begun.searched]
	s.begun.why += fmt.Sprintf("; %s-%d: %s", x.Topic, x.Partition, why)
}

func (s evidence) answered(r *kmsg.FetchResponse) {
	d := &s.known.Decision
	if s.phase != searching || s.begun.searched >= len(d.Partitions) {
		return
	}
	x := &d.Partitions[s.begun.searched]
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		s.failed("Fetch: the response does not mention the partition")
		return
	}
	rp := &r.Topics[0].Partitions[0]
	switch code := protocol.ErrorCode(rp.ErrorCode); {
	case code == protocol.OffsetOutOfRange, code.Class() == protocol.Authorization:
		s.missed(code.String())
		s.begun.searched++
		s.starting()
		return
	case code != protocol.None:
		s.view.Refresh()
		s.failed("Fetch: " + code.String())
		return
	}
	s.begun.attempts = 0
	switch v, why := txn.Evidence(d.Identity, x.First, rp); v {
	case txn.NothingNew:
		if s.begun.unstable == 0 {
			s.begun.unstable = s.now.Age
		}
		if s.now.Age-s.begun.unstable < s.cfg.RequestTimeoutMs {
			s.after(s.cfg.RetryBackoffMs, why)
			return
		}
		s.begun.open++
		fallthrough
	case txn.Unknown:
		s.missed(why)
		s.begun.searched++
		s.starting()
	default:
		s.audit("transaction %d: %s (%s); its records in %s-%d told", d.Ordinal, outcomeWord(v == txn.WasCommitted), s.begun.why, x.Topic, x.Partition)
		s.settleStart(v == txn.WasCommitted)
	}
}

func outcomeWord(committed bool) string {
	if committed {
		return "it was committed"
	}
	return "it was not committed"
}
