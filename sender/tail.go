package sender

import (
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/sender/cluster"
)

const (
	tailBytes = 1 << 20 // of one Fetch
	fetchMax  = 12      // from version 13 on topics go by id only
	maxBelow  = 5       // times that a log may end below where it is to be read, before that counts
)

// tailRead is a look at the log of one partition: the batch headers of our producer id.
type tailRead struct {
	from, to protocol.Offset // to NoOffset: up to the high watermark
	next     protocol.Offset
	waiting  bool
	below    int // times that the log ended below next
	retryAt  int64
	seen     recovery.Tail
}

// readTail reads the log of p from from on. The records themselves are not looked at.
func (qs *questions) readTail(p *partition, from, to protocol.Offset) {
	t := p.open().tail
	if t == nil || t.from != from || t.to != to {
		t = &tailRead{from: from, to: to, next: from}
		p.question.tail = t
	}
	if t.waiting {
		return
	}
	if qs.now.Age < t.retryAt {
		qs.e.Wake(t.retryAt)
		return
	}
	if qs.view.Generation() < p.needMeta {
		qs.view.Want()
		return
	}
	t.waiting = true
	leader, epoch := p.leader()
	r := kmsg.NewPtrFetchRequest()
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = -1, 0, 0, tailBytes
	r.SessionEpoch = -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = p.lane.topic
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.ID, int64(t.next), tailBytes
	part.CurrentLeaderEpoch, part.LogStartOffset = epoch, -1 // a follower, or a former leader, does not answer then
	topic.Partitions = append(topic.Partitions, part)
	r.Topics = append(r.Topics, topic)
	qs.request(Request{Kind: KindControl, Broker: leader, Message: r, MaxVersion: fetchMax},
		&request{kind: reqTail, parts: []*partition{p}, tail: t})
}

func (qs *questions) onTail(q *request, resp Response) {
	p, t := q.parts[0], q.tail
	if p.open().tail != t {
		return // given up meanwhile
	}
	qs.activate(p)
	t.waiting = false
	r, ok := resp.Message.(*kmsg.FetchResponse)
	if !ok || resp.Err != nil {
		qs.tailTrouble(p, t, "Fetch: "+cluster.ErrText(resp.Err), true)
		return
	}
	if code := protocol.ErrorCode(r.ErrorCode); code != protocol.None {
		qs.tailTrouble(p, t, "Fetch: "+code.String(), true)
		return
	}
	rp := answerFor(p, r.Topics, func(t *kmsg.FetchResponseTopic) (string, []kmsg.FetchResponseTopicPartition) {
		return t.Topic, t.Partitions
	},
		func(rp *kmsg.FetchResponseTopicPartition) int32 { return rp.Partition })
	if rp == nil {
		qs.tailTrouble(p, t, "Fetch: "+notMentioned, false)
		return
	}
	qs.tailPart(p, t, rp)
}

func (qs *questions) tailTrouble(p *partition, t *tailRead, detail string, fresh bool) {
	p.Detail = detail
	if fresh {
		p.needMeta = qs.view.Refresh()
	}
	t.retryAt = qs.now.Age + p.Backoff(qs.env(p))
	qs.activate(p)
}

// tailPart takes one answer: more of the log, or a reason why there is none.
func (qs *questions) tailPart(p *partition, t *tailRead, rp *kmsg.FetchResponseTopicPartition) {
	code := protocol.ErrorCode(rp.ErrorCode)
	switch {
	case code == protocol.OffsetOutOfRange: // below the start or above the end: Kafka does not say which
		qs.askLogStart(p, t)
		return
	case code.Class() == protocol.Authorization:
		t.seen.Err = "the log cannot be read: " + code.String() + ": grant READ on the topic"
		qs.tailDone(p, t)
		return
	case code != protocol.None:
		qs.tailTrouble(p, t, "Fetch: "+code.String(), code.Class() == protocol.RefreshRetriable)
		return
	}
	if start := protocol.Offset(rp.LogStartOffset); start > t.seen.LogStart {
		t.seen.LogStart = start
	}
	if err := qs.headers(p, t, rp.RecordBatches); err != nil {
		qs.tailTrouble(p, t, "Fetch: "+err.Error(), false)
		return
	}
	end := protocol.Offset(rp.HighWatermark)
	switch {
	case t.to != protocol.NoOffset && t.next >= t.to, t.to == protocol.NoOffset && t.next >= end:
		qs.tailDone(p, t)
	case t.next >= end:
		// An ack showed that the high watermark was higher: a new leader has it late.
		qs.tailTrouble(p, t, "waiting for the high watermark", false)
	}
}

// askLogStart asks the leader where the log begins.
func (qs *questions) askLogStart(p *partition, t *tailRead) {
	t.waiting = true
	leader, _ := p.leader()
	l := kmsg.NewPtrListOffsetsRequest()
	l.ReplicaID = -1
	l.Topics = addLogEnd(nil, p)
	l.Topics[0].Partitions[0].Timestamp = -2 // the earliest
	qs.request(Request{Kind: KindControl, Broker: leader, Message: l, MaxVersion: -1}, &request{kind: reqLogStart, parts: []*partition{p}, tail: t})
}

func (qs *questions) onLogStart(q *request, resp Response) {
	p, t := q.parts[0], q.tail
	if p.open().tail != t {
		return // given up meanwhile
	}
	qs.activate(p)
	t.waiting = false
	a := &asking{}
	if r, ok := resp.Message.(*kmsg.ListOffsetsResponse); !ok || resp.Err != nil {
		a.failed, p.Detail = true, "ListOffsets: "+cluster.ErrText(resp.Err)
	} else {
		qs.logEnd(p, a, r)
	}
	switch {
	case a.failed:
		qs.tailTrouble(p, t, p.Detail, true)
	case a.logEnd > t.next:
		t.seen.LogStart = a.logEnd
		qs.tailDone(p, t)
	case p.Phase() == idempotence.Resolving && t.below >= maxBelow:
		t.seen.Below = true
		qs.tailDone(p, t)
	default:
		// Above the end: nothing is there, which must not be taken for "not found". It may be another topic of that
		// name, which metadata will show, or a leader of another epoch.
		t.below++
		qs.tailTrouble(p, t, "Fetch: offset "+fmt.Sprint(t.next)+" is out of range", true)
	}
}

// headers notes the batches of our producer id and moves on behind the last whole one.
func (qs *questions) headers(p *partition, t *tailRead, log []byte) error {
	id := p.Sequences().Identity.ID
	for len(log) > 0 {
		h, _, rest, err := protocol.NextBatchHeader(log)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("offset %d: %w", t.next, err)
		}
		log = rest
		if h.LastOffset() < t.next {
			continue // a broker may begin with the batch before
		}
		t.next = h.LastOffset() + 1
		if h.Identity.ID == id && h.Attributes&protocol.AttributeControl == 0 {
			t.seen.Batches = append(t.seen.Batches, recovery.Logged{
				Identity: h.Identity, Base: h.Base, Count: h.LastOffsetDelta + 1, Offset: h.BaseOffset,
			})
		}
	}
	return nil
}

func (qs *questions) tailDone(p *partition, t *tailRead) {
	p.open().tail = nil
	p.TailRead(qs.env(p), t.seen)
	qs.collect(p)
}
