package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

type abortedTxn = kmsg.FetchResponseTopicPartitionAbortedTransaction

// who is a producer as a request of a transaction names it.
type who struct {
	id    string
	pid   int64
	epoch int16
	v2    bool // by a request of KIP-890
	// first is the sequence of the first batch for a partition; nil: offsets, which have none.
	first map[txnPart]int32
}

// add is TransactionCoordinator.handleAddPartitionsToTransaction. It also gives the number of the transaction.
func (k *txnCoordinator) add(n *node, w who, parts []txnPart, done func(protocol.ErrorCode, int64)) {
	t, code := k.find(w.id)
	switch {
	case code != protocol.None:
	case t == nil || t.pid != w.pid:
		code = protocol.InvalidProducerIDMapping
	case w.v2 && t.state.preparing():
		code = protocol.ConcurrentTransactions
	case t.epoch != w.epoch:
		code = protocol.ProducerFenced
	case t.pending || t.state.preparing():
		code = protocol.ConcurrentTransactions
	}
	switch {
	case code != protocol.None:
		done(code, 0)
		return
	case t.state == ongoing && t.has(parts):
		done(protocol.None, t.serial)
		return
	}
	next := t.txn
	begins := t.state != ongoing
	if begins {
		n.c.begun++
		next.serial, next.parts, next.started, next.state = n.c.begun, nil, n.c.now(), ongoing
	}
	next.parts = slices.Clone(next.parts)
	for _, p := range parts {
		if !slices.Contains(next.parts, p) {
			next.parts = append(next.parts, p)
		}
	}
	slices.SortFunc(next.parts, comparePart)
	k.write(n, t, next, func(code protocol.ErrorCode) {
		if code == protocol.None && begins {
			k.watch(n, t)
		}
		done(code, next.serial)
	})
}

// verify says whether partitions belong to the open transaction (handleVerifyPartitionsInTransaction).
func (k *txnCoordinator) verify(w who, parts []txnPart, done func(protocol.ErrorCode, int64)) {
	t, code := k.find(w.id)
	switch {
	case code != protocol.None:
	case t == nil || t.pid != w.pid:
		code = protocol.InvalidProducerIDMapping
	case t.epoch != w.epoch:
		code = protocol.ProducerFenced
	case t.pending && t.state != ongoing, t.state.preparing():
		code = protocol.ConcurrentTransactions
	case t.state != ongoing || !t.has(parts):
		code = protocol.TransactionAbortable
	}
	if code != protocol.None {
		done(code, 0)
		return
	}
	done(code, t.serial)
}

// addPartitionsToTxn is a client's request, up to version 3: of all partitions one by one, or of none.
func (n transactional) addPartitionsToTxn(m *kmsg.AddPartitionsToTxnRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	var parts []txnPart
	codes, bad := map[txnPart]protocol.ErrorCode{}, false
	for i := range m.Topics {
		for _, p := range m.Topics[i].Partitions {
			part := txnPart{m.Topics[i].Topic, p}
			parts = append(parts, part)
			v := n.views[part.topic]
			switch {
			case !n.c.may(Write, part.topic):
				codes[part], bad = protocol.TopicAuthorizationFailed, true
			case v == nil || p >= int32(len(v.parts)):
				codes[part], bad = protocol.UnknownTopicOrPartition, true
			default:
				codes[part] = protocol.OperationNotAttempted
			}
		}
	}
	answer := func(all protocol.ErrorCode) {
		for i := range m.Topics {
			t := kmsg.NewAddPartitionsToTxnResponseTopic()
			t.Topic = m.Topics[i].Topic
			for _, p := range m.Topics[i].Partitions {
				out := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				out.Partition, out.ErrorCode = p, int16(all)
				if bad && all == protocol.OperationNotAttempted {
					out.ErrorCode = int16(codes[txnPart{t.Topic, p}])
				}
				t.Partitions = append(t.Partitions, out)
			}
			resp.Topics = append(resp.Topics, t)
		}
		reply(resp)
	}
	switch {
	case !n.c.may(Transact, m.TransactionalID):
		answer(protocol.TransactionalIDAuthorizationFailed)
	case bad:
		answer(protocol.OperationNotAttempted)
	case n.c.chance(n.c.Weather.Unavailable):
		answer(protocol.CoordinatorLoadInProgress)
	default:
		w := who{id: m.TransactionalID, pid: m.ProducerID, epoch: m.ProducerEpoch}
		n.coordinator.add(n.node, w, parts, func(code protocol.ErrorCode, _ int64) { answer(code) })
	}
}

func (n transactional) addOffsetsToTxn(m *kmsg.AddOffsetsToTxnRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	answer := func(code protocol.ErrorCode, _ int64) {
		resp.ErrorCode = int16(code)
		reply(resp)
	}
	switch {
	case !n.c.may(Transact, m.TransactionalID):
		answer(protocol.TransactionalIDAuthorizationFailed, 0)
	case !n.c.may(Group, m.Group):
		answer(protocol.GroupAuthorizationFailed, 0)
	default:
		w := who{id: m.TransactionalID, pid: m.ProducerID, epoch: m.ProducerEpoch}
		n.coordinator.add(n.node, w, []txnPart{{offsetsTopic, 0}}, answer)
	}
}

// verification is what the coordinator says about a producer's right to write to partitions now.
type verification struct {
	who
	adds   bool // partitions that were not announced are added by it
	serial map[txnPart]int64
	code   map[txnPart]protocol.ErrorCode
	token  map[txnPart]int64
}

// check asks the coordinator about those partitions that have no open transaction of this producer yet, and calls back
// (ReplicaManager.maybeSendPartitionsToTransactionCoordinator).
func (n transactional) check(w who, parts []txnPart, tries int, then func(*verification)) {
	v := &verification{who: w, adds: w.v2, serial: map[txnPart]int64{}, code: map[txnPart]protocol.ErrorCode{}, token: map[txnPart]int64{}}
	var ask []txnPart
	for _, p := range parts {
		view := n.views[p.topic]
		if view == nil {
			continue
		}
		r, code := n.leading(view, p.number)
		switch {
		case code != protocol.None, transactions{r}.ongoing(w.pid, w.epoch):
			continue // the append says what is wrong, or that all is well
		case w.v2 && r.producers[w.pid] != nil && r.producers[w.pid].epoch > w.epoch:
			v.code[p] = protocol.InvalidProducerEpoch
			continue
		}
		v.token[p] = transactions{r}.beginVerifying(w, w.first[p])
		ask = append(ask, p)
	}
	if len(ask) == 0 {
		then(v)
		return
	}
	n.askCoordinator(w, ask, func(code protocol.ErrorCode, serial int64) {
		if w.v2 && code == protocol.ConcurrentTransactions && tries > 0 {
			n.after(checkAgainMs, func() { n.check(w, parts, tries-1, then) })
			return
		}
		for _, p := range ask {
			v.code[p], v.serial[p] = code, serial
		}
		then(v)
	})
}

// While the transaction before is ending, a request of KIP-890 is tried again so often, so many ms apart.
const (
	checkTries   = 5
	checkAgainMs = 20
)

// askCoordinator has partitions verified, or added.
func (n transactional) askCoordinator(w who, parts []txnPart, then func(protocol.ErrorCode, int64)) {
	to := calls(n)
	to.ask(to.leads(txnTopic), func(m *node, answer func(protocol.ErrorCode, int64)) {
		if w.v2 {
			m.coordinator.add(m, w, parts, answer)
		} else {
			m.coordinator.verify(w, parts, answer)
		}
	}, then)
}

// verifying is a verification that is under way, or was and is not used up (VerificationStateEntry).
type verifying struct {
	number int64
	v2     bool // it was begun by a request of KIP-890
	// No batch is taken that begins behind the lowest sequence of the epoch that was to be verified.
	epoch  int16
	lowest int32
}

// beginVerifying gives the number under which a producer is verified; a marker in between ends it. One that was not used up goes on
// as it was begun (ProducerStateManager.maybeCreateVerificationStateEntry).
func (r transactions) beginVerifying(w who, first int32) int64 {
	if r.verifying == nil {
		r.verifying = map[int64]verifying{}
	}
	v := r.verifying[w.pid]
	if v.number == 0 {
		r.verified++
		v = verifying{r.verified, w.v2, w.epoch, first}
	}
	if w.epoch > v.epoch || w.epoch == v.epoch && first < v.lowest {
		v.epoch, v.lowest = w.epoch, first
	}
	r.verifying[w.pid] = v
	return v.number
}

// inTransaction says whether a batch of a transaction may be appended now (UnifiedLog.analyzeAndValidateProducerState).
func (r transactions) inTransaction(e *entry, v *verification) protocol.ErrorCode {
	if r.ongoing(e.pid, e.pepoch) {
		e.serial = r.producers[e.pid].serial
		return protocol.None
	}
	p := txnPart{r.topic.name, r.number}
	if v.token[p] == 0 || r.verifying[e.pid].number != v.token[p] {
		return protocol.InvalidTxnState
	}
	e.serial, e.v2 = v.serial[p], r.verifying[e.pid].v2
	return protocol.None
}
