package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// bumpsEpoch is the version of EndTxn from which on each transaction has its own epoch (KIP-890).
const bumpsEpoch = 5

// endTxn is TransactionCoordinator.handleEndTransaction.
func (k *txnCoordinator) endTxn(n *node, m *kmsg.EndTxnRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrEndTxnResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	answer := func(code protocol.ErrorCode, t *coordinated) {
		resp.ErrorCode = int16(code)
		if code == protocol.None && m.GetVersion() >= bumpsEpoch {
			resp.ProducerID, resp.ProducerEpoch = t.pid, t.epoch
		}
		reply(resp)
	}
	t, code := k.find(m.TransactionalID)
	switch {
	case !n.c.may(Transact, m.TransactionalID):
		code = protocol.TransactionalIDAuthorizationFailed
	case code == protocol.None && n.c.chance(n.c.Weather.Unavailable):
		code = protocol.CoordinatorLoadInProgress
	case code == protocol.None && (t == nil || t.pid != m.ProducerID):
		code = protocol.InvalidProducerIDMapping
	}
	if code != protocol.None {
		answer(code, nil)
		return
	}
	code, change := t.end(m)
	if !change {
		answer(code, t)
		return
	}
	next := t.txn
	next.state = prepareAbort
	if m.Commit {
		next.state = prepareCommit
	}
	if next.bumped = m.GetVersion() >= bumpsEpoch; next.bumped {
		if next.epoch++; t.epoch >= lastEpoch { // the markers have the last epoch of all, and what comes next a new producer id
			answer(protocol.InvalidTxnState, nil)
			return
		}
	}
	if t.state != ongoing { // an abort of nothing: the epoch goes on
		next.parts = nil
	}
	k.decide(n, t, next, func(code protocol.ErrorCode) { answer(code, t) })
}

// end says what EndTxn comes to, or that it is to be carried out (TransactionCoordinator.endTransaction).
func (t *coordinated) end(m *kmsg.EndTxnRequest) (code protocol.ErrorCode, change bool) {
	v2 := m.GetVersion() >= bumpsEpoch
	// Of one that has ended already, in the same way or the other: its epoch was the one before. Where the epoch was raised by
	// InitProducerId since, nothing is remembered of it.
	again := v2 && t.state != ongoing && t.state != empty && m.ProducerEpoch == t.epoch-1
	switch {
	case m.ProducerEpoch != t.epoch && !again:
		return protocol.ProducerFenced, false
	case t.pending || t.state.preparing():
		return protocol.ConcurrentTransactions, false
	case t.state == ongoing:
		return protocol.None, true
	case again && t.state.complete() && m.Commit == (t.state == completeCommit):
		return protocol.None, false
	case again:
		return protocol.InvalidTxnState, false
	case v2 && !m.Commit:
		return protocol.None, true
	case !v2 && t.state.complete() && m.Commit == (t.state == completeCommit):
		return protocol.None, false
	}
	return protocol.InvalidTxnState, false
}

// decide writes down how a transaction ends, and has its markers written then. done is called in between.
func (k *txnCoordinator) decide(n *node, t *coordinated, next txn, done func(protocol.ErrorCode)) {
	k.write(n, t, next, func(code protocol.ErrorCode) {
		if code == protocol.None {
			n.c.logf("coordinator %d: transaction %d of %s: %s, %v", n.id, next.serial, t.id, next.state, next.parts)
			k.mark(n, t)
		}
		done(code)
	})
}
