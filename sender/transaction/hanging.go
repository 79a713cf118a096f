package transaction

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// A decided transaction may be open in each of its partitions, and its progress pending: the broker has lost all of its markers, and
// its coordinator does not know it any more, as the id was initialised since. Nothing has ended it, and nobody has seen anything of
// it. So it is aborted: its markers are written (see heal.go), and its records go again. Not so what a transaction carried that was
// not spooled: the offsets of its consumer group may be committed.
type hanging struct{ evidence }

// ask asks the leader of the next partition whether the transaction is open there. It reports false if that is not worth asking.
func (s hanging) ask() bool {
	d := &s.known.Decision
	if len(d.Cut) == 0 || s.begun.open < len(d.Partitions) || s.markers.unsupported ||
		slices.ContainsFunc(d.Partitions, func(x spool.DecidedPartition) bool { return x.Last < 0 }) {
		return false
	}
	if s.begun.hanging == len(d.Partitions) {
		s.audit("transaction %d: %s (%s): it is open in all of its partitions", d.Ordinal, outcomeWord(false), s.begun.why)
		s.settleStart(false)
		return true
	}
	x := &d.Partitions[s.begun.hanging]
	leader, _, ok := s.leaderOf(x)
	if !ok {
		return true
	}
	q, t := kmsg.NewPtrDescribeProducersRequest(), kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = x.Topic, []int32{x.Partition}
	q.Topics = append(q.Topics, t)
	s.begun.asked = true
	s.request(sender.Request{Kind: sender.KindControl, Broker: leader, Message: q, MaxVersion: -1}, &request{kind: reqEvidence, begun: s.begun.id})
	return true
}

func (s hanging) answered(r *kmsg.DescribeProducersResponse) {
	d := &s.known.Decision
	if s.phase != searching || s.begun.hanging >= len(d.Partitions) {
		return
	}
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		s.failed("DescribeProducers: the response does not mention the partition")
		return
	}
	x, p := &d.Partitions[s.begun.hanging], &r.Topics[0].Partitions[0]
	switch code := protocol.ErrorCode(p.ErrorCode); {
	case code.Class() == protocol.Authorization:
		s.no()
	case code != protocol.None:
		s.view.Refresh()
		s.failed("DescribeProducers: " + code.String())
	case slices.ContainsFunc(p.ActiveProducers, func(a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) bool {
		return protocol.ProducerID(a.ProducerID) == d.Identity.ID && a.CurrentTxnStartOffset >= 0 && a.CurrentTxnStartOffset <= int64(x.Last)
	}):
		s.begun.hanging++
		s.begun.attempts = 0
		s.starting()
	default:
		s.no()
	}
}

// no: it cannot be shown.
func (s hanging) no() {
	s.begun.open = -1
	s.starting()
}
