package broker

import (
	"cmp"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// Internal topics. Each has one partition here: Kafka spreads ids and groups over 50.
const (
	txnTopic     = "__transaction_state"
	offsetsTopic = "__consumer_offsets"
)

// txnState is what a transactional id is doing (TransactionState).
type txnState string

const (
	empty          txnState = "Empty"
	ongoing        txnState = "Ongoing"
	prepareCommit  txnState = "PrepareCommit"
	prepareAbort   txnState = "PrepareAbort"
	completeCommit txnState = "CompleteCommit"
	completeAbort  txnState = "CompleteAbort"
)

func (s txnState) preparing() bool { return s == prepareCommit || s == prepareAbort }
func (s txnState) complete() bool  { return s == completeCommit || s == completeAbort }

// txn is what is written down of a transactional id (TransactionMetadata). A value is never changed once it was written.
type txn struct {
	id      string
	pid     int64
	epoch   int16
	timeout int64
	state   txnState
	parts   []txnPart
	started int64 // ms
	changed int64
	serial  int64 // number of the transaction, for those who check
	bumped  bool  // its markers have an epoch of their own (clientTransactionVersion)
}

// txnPart is a partition of a transaction. It goes by its name, as in Kafka.
type txnPart struct {
	topic  string
	number int32
}

func comparePart(a, b txnPart) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number))
}

func (t *txn) has(parts []txnPart) bool {
	return !slices.ContainsFunc(parts, func(p txnPart) bool { return !slices.Contains(t.parts, p) })
}

// txnCoordinator is a broker's part as coordinator, while it leads the partition of txnTopic.
type txnCoordinator struct {
	replica *replica // nil: it leads none
	loaded  bool
	ids     map[string]*coordinated
}

// coordinated is a transactional id in a coordinator's memory.
type coordinated struct {
	txn
	pending bool  // a change is being written
	fenced  bool  // the epoch is a fence's that is not written down yet (hasFailedEpochFence)
	tries   int64 // of the time-out's abort, in vain
	left    []txnPart
	retries int64 // of what ends the transaction
}

// End is what was decided about a transaction.
type End struct {
	At        int64 // when the decision was replicated; 0: none was made
	Committed bool
	// Torn: the decision was lost when some of its markers were written, and then it was decided otherwise. A coordinator that begins
	// goes on with all that is in its log, replicated or not, as Kafka's does, and may lose it when it ends at once.
	Torn bool
}

// internalTopics makes the topics that coordinators write to.
func (c *Cluster) internalTopics() {
	if c.cfg.Transactions == 0 {
		return
	}
	for _, name := range []string{txnTopic, offsetsTopic} {
		c.CreateTopic(name, 1, int(min(3, c.cfg.Brokers)), TopicConfig{MinISR: int(min(2, c.cfg.Brokers))})
	}
	for _, n := range c.nodes {
		n.learn(len(c.controller.changes))
	}
}

func internal(topic string) bool { return topic == txnTopic || topic == offsetsTopic }

// transactions are a replica as far as transactions and coordinators go.
type transactions struct{ *replica }

// coordinate begins to coordinate, if this replica is of an internal topic: what is in its log is read first.
func (r transactions) coordinate() {
	n, epoch := r.node, r.epoch
	load := func(do func()) {
		n.after(n.c.within(n.c.cfg.Learn), func() {
			if r.leads() && r.epoch == epoch {
				do()
			}
		})
	}
	switch r.topic.name {
	case txnTopic:
		n.coordinator = txnCoordinator{replica: r.replica, ids: map[string]*coordinated{}}
		load(func() { n.coordinator.load(n) })
	case offsetsTopic:
		n.groups = groupCoordinator{replica: r.replica}
		load(func() { n.groups.loaded = true })
	}
}

// resign ends that.
func (r transactions) resign() {
	switch r.topic.name {
	case txnTopic:
		r.node.coordinator = txnCoordinator{}
	case offsetsTopic:
		r.node.groups = groupCoordinator{}
	}
}

// load takes what the log says of each transactional id last, and goes on with what was decided
// (TransactionStateManager.loadTransactionsForTxnTopicPartition).
func (k *txnCoordinator) load(n *node) {
	k.loaded = true
	var order []string
	for i := range k.replica.log {
		t, ok := k.replica.log[i].note.(txn)
		if !ok {
			continue
		}
		if k.ids[t.id] == nil {
			order = append(order, t.id)
		}
		k.ids[t.id] = &coordinated{txn: t}
	}
	n.c.logf("coordinator %d: begins, in epoch %d, with %d transactional ids", n.id, k.replica.epoch, len(order))
	for _, id := range order {
		switch t := k.ids[id]; {
		case t.state == ongoing:
			k.watch(n, t)
		case t.state.preparing():
			k.mark(n, t)
		}
	}
}

// find is a transactional id, nil if there is none of that name.
func (k *txnCoordinator) find(id string) (*coordinated, protocol.ErrorCode) {
	switch {
	case k.replica == nil || !k.replica.leads():
		return nil, protocol.NotCoordinator
	case !k.loaded:
		return nil, protocol.CoordinatorLoadInProgress
	}
	return k.ids[id], protocol.None
}

// write has a change replicated, and made in memory then (TransactionStateManager.appendTransactionToLog). done is not called if
// the process ends before that.
func (k *txnCoordinator) write(n *node, t *coordinated, next txn, done func(protocol.ErrorCode)) {
	t.pending = true
	next.changed = n.c.now()
	n.after(n.c.within(n.c.cfg.Work), func() {
		if n.coordinator.ids[t.id] != t {
			done(protocol.NotCoordinator)
			return
		}
		transactions{k.replica}.replicate(entry{note: next}, func(code protocol.ErrorCode) {
			if n.coordinator.ids[t.id] != t {
				done(protocol.NotCoordinator)
				return
			}
			t.pending = false
			switch code {
			case protocol.None:
				t.txn = next
			case protocol.NotEnoughReplicas, protocol.RequestTimedOut:
				code = protocol.CoordinatorNotAvailable
			}
			done(code)
		})
	})
}

// replicateMs is how long a coordinator waits for replicas.
const replicateMs = 5000

// replicate appends what a coordinator writes and calls done when all in-sync replicas have it, or will not.
func (r transactions) replicate(e entry, done func(protocol.ErrorCode)) {
	switch {
	case !r.leads():
		done(protocol.NotLeaderOrFollower)
		return
	case len(r.isr) < r.minISR():
		done(protocol.NotEnoughReplicas)
		return
	}
	if e.pid == 0 && e.marker == noMarker && !e.transactional {
		e.pid = -1
	}
	e.offset, e.count, e.epoch = r.end(), 1, r.epoch
	r.append(e)
	d := &delayed{node: r.node, deadline: r.node.c.now() + replicateMs}
	d.parts = append(d.first[:0], pendingPart{r: r.replica, end: e.offset + 1, out: new(produced), view: r.view})
	d.reply = func(response) { done(protocol.ErrorCode(d.parts[0].out.ErrorCode)) }
	d.wait()
}
