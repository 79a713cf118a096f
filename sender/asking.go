package sender

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/sender/cluster"
)

// questions are what leaders are asked for machines: which producers are known, where the log ends, what is in it.
type questions struct {
	parts
	wanted []*partition // of which some have a question to be asked
}

// want has the leader of p asked, unless it is asked already.
func (qs *questions) want(p *partition) {
	q := p.open()
	if q.asking != nil || q.ask {
		return
	}
	q.ask = true
	qs.wanted = append(qs.wanted, p)
}

// asking is one question to a leader about one partition: which producers are known there, and
// where the log ends. Both answers are waited for: any replica answers the first
// (a deposed leader, a follower that lags), only the leader of this reign the second.
type asking struct {
	named     *recovery.Named
	denied    bool
	logEnd    protocol.Offset
	gotEnd    bool
	failed    bool
	wantFresh bool // the failure calls for metadata
	foreign   string
}

// ask puts the questions of all partitions that have one, one request per broker. One whose leader is not connected is
// asked later, if it is still to be asked.
func (qs *questions) ask() {
	if len(qs.wanted) == 0 {
		return
	}
	for _, b := range qs.view.Brokers() {
		if !b.Up {
			continue
		}
		var parts []*partition
		for _, p := range qs.wanted {
			if p.open().ask && p.way.Broker == b.ID && qs.view.Usable(p.lane.remote, p.ID, p.way) {
				p.question.ask = false
				parts = append(parts, p)
			}
		}
		if len(parts) > 0 {
			qs.askBroker(b, parts)
		}
	}
	kept := qs.wanted[:0]
	for _, p := range qs.wanted {
		if p.open().ask {
			kept = append(kept, p)
		}
	}
	clear(qs.wanted[len(kept):])
	qs.wanted = kept
}

func (qs *questions) askBroker(b *cluster.Broker, parts []*partition) {
	d := kmsg.NewPtrDescribeProducersRequest()
	l := kmsg.NewPtrListOffsetsRequest()
	l.ReplicaID = -1
	dq := &request{kind: reqDescribe}
	lq := &request{kind: reqLogEnd}
	for _, p := range parts {
		a := &asking{}
		p.question.asking = a
		dq.parts, dq.asks = append(dq.parts, p), append(dq.asks, a)
		d.Topics = addDescribe(d.Topics, p)
		lq.parts, lq.asks = append(lq.parts, p), append(lq.asks, a)
		l.Topics = addLogEnd(l.Topics, p)
	}
	qs.request(Request{Kind: KindControl, Broker: b.ID, Message: d, MaxVersion: -1}, dq)
	qs.request(Request{Kind: KindControl, Broker: b.ID, Message: l, MaxVersion: -1}, lq)
}

func addDescribe(ts []kmsg.DescribeProducersRequestTopic, p *partition) []kmsg.DescribeProducersRequestTopic {
	for i := range ts {
		if ts[i].Topic == p.lane.topic {
			ts[i].Partitions = append(ts[i].Partitions, p.ID)
			return ts
		}
	}
	t := kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = p.lane.topic, []int32{p.ID}
	return append(ts, t)
}

func addLogEnd(ts []kmsg.ListOffsetsRequestTopic, p *partition) []kmsg.ListOffsetsRequestTopic {
	part := kmsg.NewListOffsetsRequestTopicPartition()
	_, epoch := p.leader()
	part.Partition, part.Timestamp, part.CurrentLeaderEpoch = p.ID, -1, epoch
	for i := range ts {
		if ts[i].Topic == p.lane.topic {
			ts[i].Partitions = append(ts[i].Partitions, part)
			return ts
		}
	}
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = p.lane.topic, []kmsg.ListOffsetsRequestTopicPartition{part}
	return append(ts, t)
}

// answered has take look at the answer to what was asked for each partition of q, unless it was asked anew meanwhile.
func (qs *questions) answered(q *request, take func(*partition, *asking)) {
	for k, p := range q.parts {
		if a := q.asks[k]; p.open().asking == a {
			take(p, a)
			qs.maybeAnswered(p, a)
		}
	}
}

func (qs *questions) onDescribe(q *request, resp Response) {
	r, ok := resp.Message.(*kmsg.DescribeProducersResponse)
	qs.answered(q, func(p *partition, a *asking) {
		if !ok || resp.Err != nil {
			a.failed = true
			p.Detail = cluster.ErrText(resp.Err)
			return
		}
		qs.describes(p, a, r)
	})
}

func (qs *questions) describes(p *partition, a *asking, r *kmsg.DescribeProducersResponse) {
	rp := answerFor(p, r.Topics, func(t *kmsg.DescribeProducersResponseTopic) (string, []kmsg.DescribeProducersResponseTopicPartition) {
		return t.Topic, t.Partitions
	}, func(rp *kmsg.DescribeProducersResponseTopicPartition) int32 { return rp.Partition })
	if rp == nil {
		a.failed = true
		p.Detail = "DescribeProducers: " + notMentioned
		return
	}
	switch code := protocol.ErrorCode(rp.ErrorCode); {
	case code == protocol.None:
		p.SetMayAsk(true)
		qs.named(p, a, rp.ActiveProducers)
	case code.Class() == protocol.Authorization:
		a.denied = true
		first := !p.lane.unread()
		if p.SetMayAsk(false) && first {
			qs.event(TopicTrouble{Topic: p.lane.topic, Code: code, Message: mayNotRead, Delivered: true})
		}
	default:
		a.failed, a.wantFresh = true, code.Class() == protocol.RefreshRetriable
		p.Detail = "DescribeProducers: " + code.String()
	}
}

// mayNotRead is what is said of a topic, and of its partitions, whose leader may not be asked about producers.
const mayNotRead = "this principal may write but not read the topic: grant READ, so that spoold can ask what became of a batch; until then one request is in flight per partition"

const notMentioned = "the response does not mention the partition"

// answerFor is what a response with these topics has for p, or nil. split gives a topic's name and partitions.
func answerFor[T, P any](p *partition, topics []T, split func(*T) (string, []P), number func(*P) int32) *P {
	for i := range topics {
		topic, list := split(&topics[i])
		if topic != p.lane.topic {
			continue
		}
		for j := range list {
			if number(&list[j]) == p.ID {
				return &list[j]
			}
		}
	}
	return nil
}

// named picks our producer id out of those that the leader names.
func (qs *questions) named(p *partition, a *asking, producers []kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
	id := p.Producer(qs.env(p)).ID
	n := recovery.Named{}
	for i := range producers {
		switch pid := protocol.ProducerID(producers[i].ProducerID); {
		case pid < 0:
		case pid == id:
			n = recovery.Named{Present: true, Epoch: producers[i].ProducerEpoch, LastSequence: protocol.Sequence(producers[i].LastSequence)}
		case pid == qs.e.Former.ID && id != qs.e.Identity.ID:
			a.foreign = "the leader has producer id " + strconv.FormatInt(int64(pid), 10) +
				", which this spool's former start had and never used here"
		}
	}
	a.named = &n
}

func (qs *questions) onLogEnd(q *request, resp Response) {
	r, ok := resp.Message.(*kmsg.ListOffsetsResponse)
	qs.answered(q, func(p *partition, a *asking) {
		a.gotEnd = true
		if !ok || resp.Err != nil {
			a.failed = true
			return
		}
		qs.logEnd(p, a, r)
	})
}

func (qs *questions) logEnd(p *partition, a *asking, r *kmsg.ListOffsetsResponse) {
	rp := answerFor(p, r.Topics, func(t *kmsg.ListOffsetsResponseTopic) (string, []kmsg.ListOffsetsResponseTopicPartition) {
		return t.Topic, t.Partitions
	}, func(rp *kmsg.ListOffsetsResponseTopicPartition) int32 { return rp.Partition })
	if rp == nil {
		a.failed = true
		p.Detail = "ListOffsets: " + notMentioned
		return
	}
	if code := protocol.ErrorCode(rp.ErrorCode); code != protocol.None || rp.Offset < 0 {
		a.failed, a.wantFresh = true, code.Class() == protocol.RefreshRetriable
		p.Detail = "ListOffsets: " + code.String()
		return
	}
	a.logEnd = protocol.Offset(rp.Offset)
}

// maybeAnswered gives the machine the answer once everything that was asked is answered.
func (qs *questions) maybeAnswered(p *partition, a *asking) {
	if a.named == nil && !a.denied && !a.failed || !a.gotEnd {
		return
	}
	p.open().asking = nil
	qs.activate(p)
	if a.failed {
		if a.wantFresh {
			p.needMeta = qs.view.Refresh()
		}
		p.Wait(qs.env(p), p.Detail)
		return // the machine asks again
	}
	if a.foreign != "" {
		qs.stopForGood(p, a.foreign)
		return
	}
	n := recovery.Named{}
	if !a.denied {
		n = *a.named
	}
	p.Described(qs.env(p), n, a.denied, a.logEnd)
	qs.collect(p)
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
