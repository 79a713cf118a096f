package world

import (
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/sender/transaction"
	"github.com/spoold/spoold/spool"
)

// core is what decides on delivery: package sender's Sender, or under a transactional id sender/transaction's.
type core interface {
	loop.Core
	Buffered() int
	Sweep(now spool.Time, w *sender.Waiting, sections []spool.Section, last bool) (*sender.Effects, int)
}

// newCore makes it of what a start found.
func newCore(p *Host, rec *spool.Recovered) core {
	if p.TransactionalID == "" {
		return sender.New(p.sender(), rec)
	}
	return transaction.New(transaction.Config{
		Config: p.sender(), ID: p.TransactionalID, TimeoutMs: p.TimeoutMs, MaxBytes: 1 << 20, MaxRecords: p.MaxUnit,
	}, rec)
}

// streamTransactions is Draw's own, as streamReal is.
const streamTransactions = 0x7ac5

// transactional has all hosts of one seed in four deliver in transactions, under ids of their own.
func (d *drawing) transactional() {
	x := rand.New(rand.NewPCG(d.p.Seed, streamTransactions))
	if x.IntN(4) > 0 || d.copied != nil || len(d.p.Lasting) > 0 {
		return
	}
	p := d.p
	p.Cluster.Transactions = 1
	if p.Cluster.ProduceMax == 0 && x.IntN(3) > 0 {
		p.Cluster.Transactions = 2
	}
	p.Cluster.Scan = 50 + x.Int64N(500)
	if p.Cluster.Transactions == 1 { // a late copy of a request that was answered looks as a new one does
		p.Chance.Twice = 0
	}
	for i := range p.Hosts {
		h := &p.Hosts[i]
		h.TransactionalID, h.ExpireMs = "id-"+string(rune('a'+i)), 0
		h.TimeoutMs, h.MaxUnit = 500+x.Int64N(4000), 1+x.IntN(60)
	}
	d.allowed[spool.ParkOutcomeUnknown] = d.allowed[spool.ParkTopicRecreated] // the progress goes with its topic
	d.rivals(x)
	for range x.IntN(4) {
		topic := broker.TransactionState
		if x.IntN(2) == 0 {
			topic = broker.GroupOffsets
		}
		p.Faults = append(p.Faults, Fault{At: 50 + x.Int64N(p.Chaos), Kind: MoveLeader, A: x.Int32N(p.Brokers), Name: topic})
	}
	p.Cluster.LosesMarkers = x.IntN(6) == 0
	for i := range p.Hosts {
		if x.IntN(3) == 0 && !d.allowed[spool.ParkTopicRecreated] { // the offsets of a group go with their topic
			p.Clients = append(p.Clients, Client{Host: i, Kind: Processor, Think: 2 + x.Int64N(60), Batch: 1 + x.IntN(6), Keys: x.IntN(4), Ops: 3 + x.IntN(20)})
		}
	}
}

// rivals has another producer take the transactional id of a host now and then.
func (d *drawing) rivals(x *rand.Rand) {
	if x.IntN(3) > 0 {
		return
	}
	for range 1 + x.IntN(2) {
		d.p.Faults = append(d.p.Faults, Fault{At: 50 + x.Int64N(d.p.Chaos), Kind: Rival, A: x.Int32N(int32(len(d.p.Hosts))), B: x.Int32N(2)})
	}
}

// rivalTries is how often the other producer asks for a producer id: while the transaction before is ending there is none.
const rivalTries = 20

// rival has another producer initialise a host's transactional id, once the coordinator lets it.
func rival(w *World, h *host, tries int) {
	at := w.cluster.Leader(broker.TransactionState, 0)
	if tries == 0 || w.calm || at < 0 {
		return
	}
	conn, ok := w.cluster.Open(at, func() {})
	if !ok {
		return
	}
	m := kmsg.NewPtrInitProducerIDRequest()
	m.SetVersion(4)
	m.TransactionalID, m.TransactionTimeoutMillis = &h.plan.TransactionalID, int32(h.plan.TimeoutMs)
	m.ProducerID, m.ProducerEpoch = -1, -1
	h.rivals++ // whatever comes back: a coordinator that ends may have carried it out
	conn.Receive(m, func(resp kmsg.Response) {
		conn.Close(false)
		if resp.(*kmsg.InitProducerIDResponse).ErrorCode != 0 {
			w.ag.After(20, func() { rival(w, h, tries-1) })
			return
		}
		w.tell("another producer has taken the transactional id of host %d", h.id)
		w.count(string(Rival))
	})
}

// acts reports whether a late copy of a request may change anything.
func (s *written) acts() bool {
	switch s.msg.(type) {
	case *kmsg.ProduceRequest, *kmsg.AddPartitionsToTxnRequest, *kmsg.AddOffsetsToTxnRequest, *kmsg.TxnOffsetCommitRequest, *kmsg.EndTxnRequest:
		return true
	}
	return false
}

// halved are the transactions that their coordinator has committed and that are aborted in a log: a marker was lost, and a disk of an
// earlier day, which does not know of that, had the coordinator abort the transaction that was to write it. Only the later disk could
// know which records were there (see Decision.Spans): they wait for an operator.
func halved(w *World) map[int64]bool {
	out := map[int64]bool{}
	if !slices.ContainsFunc(w.hosts, func(h *host) bool { return h.day > 0 && h.plan.TransactionalID != "" }) {
		return out
	}
	for _, t := range w.cluster.Topics() {
		for p := range t.Partitions {
			list, _ := w.cluster.Log(t.ID, p)
			for i := range list {
				if b := &list[i]; b.Aborted && b.Serial != 0 && w.cluster.End(b.Serial).Committed {
					out[b.Serial] = true
				}
			}
		}
	}
	return out
}

// transaction says what became of the transaction that a batch belongs to.
func (w *World) transaction(b *broker.Logged) *check.Transaction {
	if b.Serial == 0 {
		return nil
	}
	t := &check.Transaction{Number: b.Serial, Aborted: b.Aborted, Open: b.Open, Decided: -1}
	if end := w.cluster.End(b.Serial); end.At > 0 {
		t.Decided, t.Commit, t.Torn = end.At-epoch, end.Committed, end.Torn || w.halves[b.Serial]
	}
	return t
}

// inTransaction gives a Produce request what one of a transaction has.
func inTransaction(m *kmsg.ProduceRequest, r *sender.Request) {
	if r.TransactionalID == "" {
		return
	}
	m.TransactionID = &r.TransactionalID
	if r.MaxVersion >= 0 && m.GetVersion() > r.MaxVersion {
		m.SetVersion(r.MaxVersion)
	}
}

// attributes are those of a batch's header.
func attributes(transactional bool) protocol.Attributes {
	if transactional {
		return protocol.AttributeTransactional
	}
	return 0
}
