package broker

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// lastEpoch is the last epoch that a producer is given: one more is for the fence
// (TransactionMetadata.isEpochExhausted).
const lastEpoch = math.MaxInt16 - 1

// initProducerID with a transactional id (TransactionCoordinator.handleInitProducerId).
func (k *txnCoordinator) initProducerID(n *node, m *kmsg.InitProducerIDRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	answer := func(code protocol.ErrorCode) {
		resp.ErrorCode = int16(code)
		reply(resp)
	}
	id, timeout := *m.TransactionalID, int64(m.TransactionTimeoutMillis)
	t, code := k.find(id)
	switch {
	case !n.c.may(Transact, id):
		code = protocol.TransactionalIDAuthorizationFailed
	case id == "", m.GetVersion() >= bringsID && (m.ProducerID == -1) != (m.ProducerEpoch == -1):
		code = protocol.InvalidRequest
	case timeout <= 0 || timeout > n.c.cfg.MaxTimeout:
		code = protocol.InvalidTransactionTimeout
	case code == protocol.None && n.c.chance(n.c.Weather.Unavailable):
		code = protocol.CoordinatorLoadInProgress
	}
	if code != protocol.None {
		answer(code)
		return
	}
	if t == nil {
		pid, ok := n.newPID()
		if !ok {
			answer(protocol.CoordinatorLoadInProgress)
			return
		}
		t = &coordinated{txn: txn{id: id, pid: pid, epoch: -1, state: empty}}
		k.ids[id] = t
	} else if code = t.expects(m); code != protocol.None {
		answer(code)
		return
	}
	if t.state == ongoing && !t.pending {
		k.fence(n, t, func(code protocol.ErrorCode) {
			if code == protocol.None {
				code = protocol.ConcurrentTransactions
			}
			answer(code)
		})
		return
	}
	if t.pending || t.state.preparing() {
		answer(protocol.ConcurrentTransactions)
		return
	}
	next := txn{id: id, pid: t.pid, epoch: t.epoch + 1, timeout: timeout, state: empty}
	if t.epoch >= lastEpoch {
		pid, ok := n.newPID()
		if !ok {
			answer(protocol.CoordinatorLoadInProgress)
			return
		}
		next.pid, next.epoch = pid, 0
	}
	k.write(n, t, next, func(code protocol.ErrorCode) {
		if code == protocol.None {
			resp.ProducerID, resp.ProducerEpoch = next.pid, next.epoch
		}
		answer(code)
	})
}

// expects compares the producer id and epoch that a client gave (version 3 and later) with what it has: another producer has the
// id if they differ.
func (t *coordinated) expects(m *kmsg.InitProducerIDRequest) protocol.ErrorCode {
	if m.GetVersion() < bringsID || m.ProducerID < 0 || m.ProducerID == t.pid && m.ProducerEpoch == t.epoch {
		return protocol.None
	}
	if m.GetVersion() == bringsID {
		return protocol.InvalidProducerEpoch
	}
	return protocol.ProducerFenced
}

// fence aborts the transaction that is open, for whoever comes next: no request of the former epoch counts any more
// (prepareFenceProducerEpoch). The time-out does the same.
func (k *txnCoordinator) fence(n *node, t *coordinated, done func(protocol.ErrorCode)) {
	if !t.fenced {
		t.epoch++
		t.fenced = true
	}
	next := t.txn
	next.state = prepareAbort
	k.decide(n, t, next, func(code protocol.ErrorCode) {
		t.fenced = t.fenced && code != protocol.None
		done(code)
	})
}

// watch aborts a transaction that is open for too long (abortTimedOutTransactions).
func (k *txnCoordinator) watch(n *node, t *coordinated) {
	serial := t.serial
	wait := max(t.started+t.timeout-n.c.now(), 0) + n.c.within(n.c.cfg.Scan) + min(t.tries*t.tries, 10_000)
	n.after(wait, func() {
		switch {
		case n.coordinator.ids[t.id] != t || t.serial != serial || t.state != ongoing:
		case t.pending:
			k.watch(n, t)
		default:
			n.c.logf("coordinator %d: transaction %d of %s has timed out", n.id, serial, t.id)
			k.fence(n, t, func(code protocol.ErrorCode) {
				if code != protocol.None && t.state == ongoing {
					t.tries += 10 // nobody may be there to replicate it, perhaps all night
					k.watch(n, t)
				}
			})
		}
	})
}
