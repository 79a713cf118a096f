package txn

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

var (
	a0 = protocol.TopicPartition{Topic: "a", Partition: 0}
	a1 = protocol.TopicPartition{Topic: "a", Partition: 1}
	b0 = protocol.TopicPartition{Topic: "b", Partition: 0}
)

// bench drives a machine by hand.
type bench struct {
	t   *testing.T
	m   *Machine
	now int64
}

func newBench(t *testing.T, version int16) *bench {
	b := &bench{t: t, m: New(Config{ID: "id", TimeoutMs: 60_000, RetryBackoffMs: 100})}
	b.m.Finalized(version)
	return b
}

// next is the request that goes out now; time passes up to when it may.
func (b *bench) next(want Kind) *Request {
	b.t.Helper()
	r, at := b.m.Next(b.now)
	if r == nil && at > 0 {
		b.now = at
		r, _ = b.m.Next(b.now)
	}
	if r == nil && want != 0 || r != nil && r.Kind != want {
		b.t.Fatalf("next request is %v, want %v (state %v)", kindOf(r), want, b.m.State())
	}
	return r
}

func kindOf(r *Request) Kind {
	if r == nil {
		return 0
	}
	return r.Kind
}

// answer replies to r with a code.
func (b *bench) answer(r *Request, code protocol.ErrorCode) {
	b.m.Answer(b.now, Reply{Message: reply(r, code)})
}

// reply is what a coordinator says: code, and where there is none, what was asked for.
func reply(r *Request, code protocol.ErrorCode) kmsg.Response {
	c := int16(code)
	switch q := r.Message.(type) {
	case *kmsg.FindCoordinatorRequest:
		resp := kmsg.NewPtrFindCoordinatorResponse()
		x := kmsg.NewFindCoordinatorResponseCoordinator()
		x.NodeID, x.ErrorCode, x.Key = 7+int32(q.CoordinatorType), c, q.CoordinatorKey
		resp.Coordinators = append(resp.Coordinators, x)
		return resp
	case *kmsg.InitProducerIDRequest:
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = c, 4000, 3
		return resp
	case *kmsg.AddPartitionsToTxnRequest:
		resp := kmsg.NewPtrAddPartitionsToTxnResponse()
		for _, t := range q.Topics {
			rt := kmsg.NewAddPartitionsToTxnResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p, c
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.AddOffsetsToTxnRequest:
		resp := kmsg.NewPtrAddOffsetsToTxnResponse()
		resp.ErrorCode = c
		return resp
	case *kmsg.TxnOffsetCommitRequest:
		resp := kmsg.NewPtrTxnOffsetCommitResponse()
		for _, t := range q.Topics {
			rt := kmsg.NewTxnOffsetCommitResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, c
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.EndTxnRequest:
		resp := kmsg.NewPtrEndTxnResponse()
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = c, q.ProducerID, q.ProducerEpoch+1
		return resp
	}
	panic("unknown request")
}

// ready takes the machine to Ready.
func (b *bench) ready() {
	b.t.Helper()
	b.m.Init()
	b.answer(b.next(FindCoordinator), 0)
	b.answer(b.next(InitProducerID), 0)
	b.state(Ready)
}

func (b *bench) state(want State) {
	b.t.Helper()
	if b.m.State() != want {
		_, code, why := b.m.Err()
		b.t.Fatalf("state is %v (%v, %s), want %v", b.m.State(), code, why, want)
	}
}

// until takes a fresh machine to the point where a request of kind k goes out.
func (b *bench) until(k Kind) *Request {
	b.t.Helper()
	if k == FindCoordinator {
		b.m.Init()
		return b.next(k)
	}
	if k == InitProducerID {
		b.m.Init()
		b.answer(b.next(FindCoordinator), 0)
		return b.next(k)
	}
	b.ready()
	b.m.Begin()
	switch k {
	case AddPartitions:
		b.m.Add(a0)
	case AddOffsets:
		b.offsets()
	case CommitOffsets:
		b.offsets()
		if b.m.Version() == V1 {
			b.answer(b.next(AddOffsets), 0)
		}
		b.answer(b.next(FindCoordinator), 0)
	case EndTxn:
		b.m.Add(a0)
		if b.m.Version() == V1 {
			b.answer(b.next(AddPartitions), 0)
		}
		b.m.Commit()
	}
	return b.next(k)
}

func (b *bench) offsets() {
	b.m.AddOffsets(GroupOffsets{Group: Group{ID: "g", Generation: -1}, Offsets: []Offset{{TopicPartition: a0, Offset: 5}}})
}
