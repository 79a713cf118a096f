package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

type (
	produced = kmsg.ProduceResponseTopicPartition
	response = kmsg.Response
)

// calls are what brokers ask each other.
type calls struct{ *node }

// transactional is a broker as it serves requests of transactions and groups.
type transactional struct{ *node }

// send has another broker do something, or this one. false: it cannot be reached.
func (n calls) send(to int32, do func(*node)) bool {
	m := n.c.nodes[to]
	if m != n.node && (n.cutOff || m.cutOff) || !m.alive || m.starting {
		return false
	}
	m.after(n.c.within(n.c.cfg.Work), func() {
		if m == n.node || !m.cutOff {
			do(m)
		}
	})
	return true
}

// back is the way of an answer to a process that has asked with send.
func (n calls) back(to *node, life int, do func()) {
	n.c.agenda.After(n.c.within(n.c.cfg.Work), func() {
		if to == n.node || !n.cutOff && !to.cutOff {
			to.run(life, do)
		}
	})
}

// patienceMs is how long a broker waits for another one's answer.
const patienceMs = 2000

// ask is send with an answer: answered is called once, at the latest after patienceMs with NETWORK_EXCEPTION.
func (n calls) ask(to int32, do func(m *node, answer func(protocol.ErrorCode, int64)), answered func(protocol.ErrorCode, int64)) {
	over, life := false, n.life
	once := func(code protocol.ErrorCode, serial int64) {
		if !over {
			over = true
			answered(code, serial)
		}
	}
	sent := to >= 0 && n.send(to, func(m *node) {
		do(m, func(code protocol.ErrorCode, serial int64) {
			calls{m}.back(n.node, life, func() { once(code, serial) })
		})
	})
	if !sent {
		n.after(n.c.within(n.c.cfg.Work), func() { once(protocol.NetworkException, 0) })
		return
	}
	n.after(patienceMs, func() { once(protocol.NetworkException, 0) })
}

// leads is who leads a partition of an internal topic, by this broker's metadata; noLeader: nobody.
func (n calls) leads(topic string) int32 {
	v := n.views[topic]
	if v == nil {
		return noLeader
	}
	return v.parts[0].leader
}

// handleTransactional serves requests of transactions and groups; false: it is none of them.
func (n transactional) handleTransactional(req kmsg.Request, reply func(kmsg.Response)) bool {
	if n.c.cfg.Transactions == 0 {
		return false
	}
	switch m := req.(type) {
	case *kmsg.ApiVersionsRequest:
		reply(n.apiVersions(m))
	case *kmsg.FindCoordinatorRequest:
		reply(n.findCoordinator(m))
	case *kmsg.AddPartitionsToTxnRequest:
		n.addPartitionsToTxn(m, reply)
	case *kmsg.AddOffsetsToTxnRequest:
		n.addOffsetsToTxn(m, reply)
	case *kmsg.TxnOffsetCommitRequest:
		n.groups.commit(n.node, m, reply)
	case *kmsg.OffsetFetchRequest:
		reply(n.offsetFetch(m))
	case *kmsg.EndTxnRequest:
		n.coordinator.endTxn(n.node, m, reply)
	case *kmsg.DescribeTransactionsRequest:
		reply(n.describeTransactions(m))
	default:
		return false
	}
	return true
}

// apiVersions returns the finalized features; versions of requests are the caller's to choose.
func (n transactional) apiVersions(m *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(m.GetVersion())
	if n.c.cfg.ProduceMax > 11 {
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MinVersionLevel, f.MaxVersionLevel = "transaction.version", n.c.cfg.Transactions, n.c.cfg.Transactions
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, f)
	}
	return resp
}

// findCoordinator is KafkaApis.handleFindCoordinatorRequest: whoever leads the partition of an internal topic.
func (n transactional) findCoordinator(m *kmsg.FindCoordinatorRequest) kmsg.Response {
	const group, batched = 0, 4
	resp := kmsg.NewPtrFindCoordinatorResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	keys, right, topic, denied := m.CoordinatorKeys, Transact, txnTopic, protocol.TransactionalIDAuthorizationFailed
	if m.CoordinatorType == group {
		right, topic, denied = Group, offsetsTopic, protocol.GroupAuthorizationFailed
	}
	if m.GetVersion() < batched {
		keys = []string{m.CoordinatorKey}
	}
	for _, key := range keys {
		out := kmsg.NewFindCoordinatorResponseCoordinator()
		out.Key, out.NodeID, out.Port = key, -1, -1
		switch leader := calls(n).leads(topic); {
		case !n.c.may(right, key):
			out.ErrorCode = int16(denied)
		case leader < 0, n.c.chance(n.c.Weather.Unavailable):
			out.ErrorCode = int16(protocol.CoordinatorNotAvailable)
		default:
			out.NodeID, out.Host, out.Port = leader, "broker", 9092+leader
		}
		if m.GetVersion() < batched {
			resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = out.ErrorCode, out.NodeID, out.Host, out.Port
			continue
		}
		resp.Coordinators = append(resp.Coordinators, out)
	}
	return resp
}

func (n transactional) describeTransactions(m *kmsg.DescribeTransactionsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	for _, id := range m.TransactionalIDs {
		out := kmsg.NewDescribeTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.ProducerEpoch, out.StartTimestamp = id, -1, -1, -1
		t, code := n.coordinator.find(id)
		switch {
		case !n.c.may(Transact, id):
			code = protocol.TransactionalIDAuthorizationFailed
		case code == protocol.None && t == nil:
			code = protocol.TransactionalIDNotFound
		case code == protocol.None:
			t.describe(&out)
		}
		out.ErrorCode = int16(code)
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return resp
}

func (t *coordinated) describe(out *kmsg.DescribeTransactionsResponseTransactionState) {
	out.State, out.TimeoutMillis = string(t.state), int32(t.timeout)
	out.ProducerID, out.ProducerEpoch = t.pid, t.epoch
	if t.state != ongoing && !t.state.preparing() {
		return
	}
	out.StartTimestamp = t.started
	parts := t.parts
	if t.state.preparing() {
		parts = t.left
	}
	for _, p := range parts {
		if k := len(out.Topics); k == 0 || out.Topics[k-1].Topic != p.topic {
			topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			topic.Topic = p.topic
			out.Topics = append(out.Topics, topic)
		}
		topic := &out.Topics[len(out.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.number)
	}
}
