package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
)

// First versions of Produce in which something is returned, or done.
const (
	tellsLogStart = 5
	tellsRecords  = 8 // which are refused, and why (KIP-467)
	tellsLeader   = 10
	byID          = 13 // topics go by their id
)

// produce is KafkaApis.handleProduceRequest and ReplicaManager.handleProduceAppend.
func (n *node) produce(m *kmsg.ProduceRequest, reply func(kmsg.Response)) {
	resp := answerTo(m)
	resp.ThrottleMillis = n.throttle()
	d := &delayed{node: n, deadline: n.c.now() + int64(m.TimeoutMillis), reply: reply, resp: resp}
	d.parts = d.first[:0]
	whole := n.wholeRequest(m)
	if m.TransactionID == nil || whole != protocol.None {
		d.produce(m, whole, nil)
		return
	}
	t := transactional{n}
	w, parts := t.partsOf(m)
	t.check(w, parts, checkTries, func(v *verification) { d.produce(m, whole, v) })
}

// produce appends what a request has for each partition, and answers it, at once or when replicas have it all.
func (d *delayed) produce(m *kmsg.ProduceRequest, whole protocol.ErrorCode, v *verification) {
	resp := d.resp
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			out := &resp.Topics[i].Partitions[j]
			if whole != protocol.None {
				a := refuse(whole, untold)
				if whole == protocol.CorruptMessage {
					a.message = "a batch that cannot be one"
				}
				a.tell(m.GetVersion(), out)
				continue
			}
			d.node.producePart(m, &m.Topics[i], &m.Topics[i].Partitions[j], out, d, v)
		}
	}
	switch {
	case m.Acks == 0: // not made by anybody here; a broker would end the connection of one that fails
		d.reply(nil)
	case len(d.parts) == 0:
		d.reply(resp)
	default:
		d.wait()
	}
}

// answerTo is an answer with a place for every partition of a request.
func answerTo(m *kmsg.ProduceRequest) *kmsg.ProduceResponse {
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(m.GetVersion())
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(m.Topics))
	for i := range m.Topics {
		out := &resp.Topics[i]
		out.Topic, out.TopicID = m.Topics[i].Topic, m.Topics[i].TopicID
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(m.Topics[i].Partitions))
		for j := range out.Partitions {
			p := &out.Partitions[j]
			p.Default()
			p.Partition = m.Topics[i].Partitions[j].Partition
			p.BaseOffset, p.LogAppendTime, p.LogStartOffset = -1, -1, -1
			p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = -1, -1
		}
	}
	return resp
}

// wholeRequest is what is wrong with a request as a whole: a first batch of any partition that cannot be one
// (RequestUtils.hasTransactionalRecords throws), or that is of a transaction while the request is not.
func (n *node) wholeRequest(m *kmsg.ProduceRequest) protocol.ErrorCode {
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			b, _, code := nextBatch(m.Topics[i].Partitions[j].Records)
			if code != protocol.None {
				return code
			}
			if len(b) < raw.HeaderSize || !b.Is(raw.Transactional) {
				continue
			}
			if m.TransactionID == nil || !n.c.may(Transact, *m.TransactionID) {
				return protocol.TransactionalIDAuthorizationFailed
			}
		}
	}
	return protocol.None
}

// producePart appends one partition's batch, or says why not.
func (n *node) producePart(m *kmsg.ProduceRequest, rt *kmsg.ProduceRequestTopic, rp *kmsg.ProduceRequestTopicPartition, out *kmsg.ProduceResponseTopicPartition, d *delayed, verified *verification) {
	v, code := n.produceTopic(m.GetVersion(), rt)
	if code == protocol.None {
		if _, ok := v.parts[rp.Partition]; !ok {
			code = protocol.UnknownTopicOrPartition
		}
	}
	var b raw.Batch
	if code == protocol.None {
		b, code = split(rp.Records)
	}
	if code == protocol.None && (m.Acks < -1 || m.Acks > 1) {
		code = protocol.InvalidRequiredAcks
	}
	before, after := n.mishap()
	if code == protocol.None {
		code = before
	}
	if code != protocol.None {
		out.ErrorCode = int16(code)
		return
	}
	r, code := n.leading(v, rp.Partition)
	if code != protocol.None {
		out.ErrorCode = int16(code)
		n.tellLeader(m.GetVersion(), v, out)
		return
	}
	if code := verified.of(v.topic.name, rp.Partition, m.GetVersion()); code != protocol.None {
		out.ErrorCode = int16(code)
		return
	}
	a := r.appendAsLeader(b, m.Acks, verified)
	if a.code == protocol.None && after != protocol.None {
		a = refuse(after, a.start)
	}
	a.tell(m.GetVersion(), out)
	if a.code == protocol.None && m.Acks == -1 {
		d.parts = append(d.parts, pendingPart{r: r, end: a.end, out: out, version: m.GetVersion(), view: v})
	}
}

// tell writes an append's outcome into an answer.
func (a *appended) tell(version int16, out *kmsg.ProduceResponseTopicPartition) {
	out.ErrorCode, out.BaseOffset, out.LogAppendTime = int16(a.code), a.base, a.stamp
	if version >= tellsLogStart {
		out.LogStartOffset = a.start
	}
	if version < tellsRecords || a.message == "" {
		return
	}
	out.ErrorMessage = kmsg.StringPtr(a.message)
	for _, bad := range a.bad {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = bad.index, kmsg.StringPtr(bad.message)
		out.ErrorRecords = append(out.ErrorRecords, e)
	}
}

// tellLeader says who leads instead (KIP-951).
func (n *node) tellLeader(version int16, v *topicView, out *kmsg.ProduceResponseTopicPartition) {
	if s, ok := v.parts[out.Partition]; ok && version >= tellsLeader && out.ErrorCode == int16(protocol.NotLeaderOrFollower) {
		out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = s.leader, s.epoch
	}
}

// produceTopic finds the topic of a request, by id or by name.
func (n *node) produceTopic(version int16, rt *kmsg.ProduceRequestTopic) (*topicView, protocol.ErrorCode) {
	v, missing, name := n.views[rt.Topic], protocol.UnknownTopicOrPartition, rt.Topic
	if version >= byID {
		if v, missing = n.ids[rt.TopicID], protocol.UnknownTopicID; v != nil {
			name = v.topic.name
		}
	}
	switch {
	case name != "" && !n.c.may(Write, name): // whether there is such a topic or not
		return nil, protocol.TopicAuthorizationFailed
	case v == nil:
		return nil, missing
	}
	return v, protocol.None
}

// leading is the replica of a partition that this broker takes itself to lead.
func (n *node) leading(v *topicView, number int32) (*replica, protocol.ErrorCode) {
	if _, ok := v.parts[number]; !ok {
		return nil, protocol.UnknownTopicOrPartition
	}
	r := n.replicas[replicaKey{v.topic.id, number}]
	if r == nil || !r.leads() {
		return nil, protocol.NotLeaderOrFollower
	}
	return r, protocol.None
}

// delayed is a Produce request that waits for high watermarks (DelayedProduce).
type delayed struct {
	node     *node
	parts    []pendingPart
	first    [1]pendingPart // mostly there is no more
	left     int
	deadline int64
	reply    func(kmsg.Response)
	resp     *kmsg.ProduceResponse
}

func (d *delayed) done() { d.reply(d.resp) }

type pendingPart struct {
	r       *replica
	end     int64
	out     *kmsg.ProduceResponseTopicPartition
	version int16
	view    *topicView
	settled bool
}

// wait has d answered when all its parts are settled, or its time is up.
func (d *delayed) wait() {
	d.left = len(d.parts)
	for i := range d.parts {
		d.look(&d.parts[i])
	}
	if d.left == 0 {
		d.done()
		return
	}
	for i := range d.parts {
		if p := &d.parts[i]; !p.settled && !slices.Contains(p.r.waiting, d) {
			p.r.waiting = append(p.r.waiting, d)
		}
	}
	d.node.waiting = append(d.node.waiting, d)
	d.node.expireAt(d.deadline)
}

// settleWaiting looks at all requests that wait for this replica.
func (r *replica) settleWaiting() {
	waiting := r.waiting
	r.waiting = nil
	for _, d := range waiting {
		if d.left == 0 {
			continue // its time was up
		}
		open := false
		for i := range d.parts {
			if p := &d.parts[i]; p.r == r && !p.settled {
				d.look(p)
				open = open || !p.settled
			}
		}
		if open {
			r.waiting = append(r.waiting, d)
		}
		if d.left == 0 {
			d.leave()
		}
	}
}

// look is Partition.checkEnoughReplicasReachOffset: one that leads no more answers NOT_LEADER_OR_FOLLOWER, though it
// has appended.
func (d *delayed) look(p *pendingPart) {
	switch r := p.r; {
	case r.gone:
		d.settle(p, protocol.UnknownTopicOrPartition)
	case !r.leads():
		d.settle(p, protocol.NotLeaderOrFollower)
	case r.hw < p.end:
	case len(r.isr) < r.minISR():
		d.settle(p, protocol.NotEnoughReplicasAfterAppend)
	default:
		d.settle(p, protocol.None)
	}
}

// settle decides one part. The offset at which it was appended is in the answer even of an error.
func (d *delayed) settle(p *pendingPart, code protocol.ErrorCode) {
	p.settled = true
	p.out.ErrorCode = int16(code)
	d.node.tellLeader(p.version, p.view, p.out)
	d.left--
}

func (d *delayed) leave() {
	d.node.waiting = slices.DeleteFunc(d.node.waiting, func(x *delayed) bool { return x == d })
	d.done()
}

// expireAt looks at a time whether requests have waited long enough, unless it does so by then anyway.
func (n *node) expireAt(at int64) {
	if n.nextExpiry > 0 && n.nextExpiry <= at {
		return
	}
	n.nextExpiry = at
	n.after(at-n.c.now(), func() {
		if n.nextExpiry == at {
			n.nextExpiry = 0
		}
		n.expireWaiting()
	})
}

// expireWaiting answers REQUEST_TIMED_OUT for what is still open when its time is up.
func (n *node) expireWaiting() {
	for _, d := range slices.Clone(n.waiting) {
		switch {
		case d.left == 0:
		case d.deadline > n.c.now():
			n.expireAt(d.deadline)
		default:
			for i := range d.parts {
				if !d.parts[i].settled {
					d.settle(&d.parts[i], protocol.RequestTimedOut)
				}
			}
			d.leave()
		}
	}
}

// throttle is a throttle_time_ms, as the weather is.
func (n *node) throttle() int32 {
	if w := &n.c.Weather; w.ThrottleMs > 0 && n.c.chance(w.Throttle) {
		return 1 + n.c.rng.Int32N(w.ThrottleMs)
	}
	return 0
}

// mishap is what goes wrong inside the broker, before an append or after it.
func (n *node) mishap() (before, after protocol.ErrorCode) {
	w := &n.c.Weather
	switch {
	case n.c.chance(w.Storage):
		return protocol.KafkaStorageError, protocol.None
	case n.c.chance(w.Corrupt):
		return protocol.CorruptMessage, protocol.None
	case n.c.chance(w.Unknown):
		if n.c.rng.IntN(2) == 0 {
			return protocol.UnknownServerError, protocol.None
		}
		return protocol.None, protocol.UnknownServerError
	}
	return protocol.None, protocol.None
}
