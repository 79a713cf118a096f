package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// byID is the first version of Produce in which topics go by their id.
const byID = 13

// delayed is a Produce request that waits for high watermarks (DelayedProduce).
type delayed struct {
	parts   []pendingPart
	left    int
	done    func()
	expired bool
}

type pendingPart struct {
	r       *replica
	end     int64
	out     *kmsg.ProduceResponseTopicPartition
	base    int64
	stamp   int64
	settled bool
}

func (n *node) produce(m *kmsg.ProduceRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	d := &delayed{}
	for i := range m.Topics {
		rt := &m.Topics[i]
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = rt.Topic, rt.TopicID
		for range rt.Partitions {
			out.Partitions = append(out.Partitions, kmsg.NewProduceResponseTopicPartition())
		}
		resp.Topics = append(resp.Topics, out)
	}
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			n.producePart(m, &m.Topics[i], j, &resp.Topics[i].Partitions[j], d)
		}
	}
	if m.Acks == 0 {
		return // not made by anybody here, and never answered
	}
	d.done = func() { reply(resp) }
	if len(d.parts) == 0 || m.Acks != -1 {
		d.finish()
		return
	}
	d.left = len(d.parts)
	n.after(int64(m.TimeoutMillis), d.expire)
	for i := range d.parts {
		r := d.parts[i].r
		r.waiting = append(r.waiting, d)
	}
	for i := range d.parts {
		d.parts[i].r.settleWaiting()
	}
}

// producePart appends one partition's batch, or says why not.
func (n *node) producePart(m *kmsg.ProduceRequest, rt *kmsg.ProduceRequestTopic, j int, out *kmsg.ProduceResponseTopicPartition, d *delayed) {
	rp := &rt.Partitions[j]
	out.Partition, out.BaseOffset, out.LogAppendTime, out.LogStartOffset = rp.Partition, -1, -1, -1
	out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = -1, -1
	v, code := n.produceTopic(m.GetVersion(), rt)
	if code == protocol.None && !n.c.may(Write, v.topic.name) {
		code = protocol.TopicAuthorizationFailed
	}
	if code == protocol.None {
		if _, ok := v.parts[rp.Partition]; !ok {
			code = protocol.UnknownTopicOrPartition
		}
	}
	var b batch
	if code == protocol.None {
		b, code = split(rp.Records)
	}
	before, after := n.mishap()
	switch {
	case code != protocol.None:
	case before != protocol.None:
		code = before
	default:
		var r *replica
		if r, code = n.leading(v, rp.Partition); code == protocol.None {
			n.appendTo(r, b, m.Acks, out, d, after)
			return
		}
		if s := v.parts[rp.Partition]; code == protocol.NotLeaderOrFollower && m.GetVersion() >= 10 { // KIP-951
			out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = s.leader, s.epoch
		}
	}
	out.ErrorCode = int16(code)
}

// produceTopic finds the topic of a request, by id or by name.
func (n *node) produceTopic(version int16, rt *kmsg.ProduceRequestTopic) (*topicView, protocol.ErrorCode) {
	if version < byID {
		if v := n.views[rt.Topic]; v != nil {
			return v, protocol.None
		}
		return nil, protocol.UnknownTopicOrPartition
	}
	for _, t := range n.c.topics {
		if t.id == protocol.TopicID(rt.TopicID) {
			if v := n.views[t.name]; v != nil && v.topic == t {
				return v, protocol.None
			}
		}
	}
	return nil, protocol.UnknownTopicID
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

func (n *node) appendTo(r *replica, b batch, acks int16, out *kmsg.ProduceResponseTopicPartition, d *delayed, after protocol.ErrorCode) {
	a := r.appendAsLeader(b, acks)
	out.LogStartOffset = r.start
	if a.code == protocol.None {
		a.code = after
	}
	if a.code != protocol.None {
		out.ErrorCode = int16(a.code)
		if a.message != "" {
			out.ErrorMessage = kmsg.StringPtr(a.message)
		}
		for _, bad := range a.bad {
			e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			e.RelativeOffset, e.ErrorMessage = bad.index, kmsg.StringPtr(bad.message)
			out.ErrorRecords = append(out.ErrorRecords, e)
		}
		return
	}
	if acks != -1 {
		out.BaseOffset, out.LogAppendTime = a.base, a.stamp
		return
	}
	d.parts = append(d.parts, pendingPart{r: r, end: a.end, out: out, base: a.base, stamp: a.stamp})
}

// settleWaiting looks at all requests that wait for this replica (checkEnoughReplicasReachOffset). One that leads no
// more answers NOT_LEADER_OR_FOLLOWER, though it has appended.
func (r *replica) settleWaiting() {
	waiting := r.waiting
	r.waiting = nil
	for _, d := range waiting {
		if d.expired || d.left == 0 {
			continue
		}
		open := false
		for i := range d.parts {
			p := &d.parts[i]
			if p.r == r && !p.settled {
				p.look()
				if p.settled {
					d.left--
				} else {
					open = true
				}
			}
		}
		if open {
			r.waiting = append(r.waiting, d)
		}
		if d.left == 0 {
			d.finish()
		}
	}
}

func (p *pendingPart) look() {
	switch r := p.r; {
	case r.gone:
		p.settle(protocol.UnknownTopicOrPartition)
	case !r.leads():
		p.settle(protocol.NotLeaderOrFollower)
	case r.hw < p.end:
	case len(r.isr) < r.minISR():
		p.settle(protocol.NotEnoughReplicasAfterAppend)
	default:
		p.settle(protocol.None)
	}
}

func (p *pendingPart) settle(code protocol.ErrorCode) {
	p.settled = true
	p.out.ErrorCode = int16(code)
	if code == protocol.None {
		p.out.BaseOffset, p.out.LogAppendTime = p.base, p.stamp
	}
}

// expire answers REQUEST_TIMED_OUT for what is still open.
func (d *delayed) expire() {
	if d.left == 0 {
		return
	}
	d.expired = true
	for i := range d.parts {
		if !d.parts[i].settled {
			d.parts[i].settle(protocol.RequestTimedOut)
		}
	}
	d.left = 0
	d.finish()
}

func (d *delayed) finish() { d.done() }

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
