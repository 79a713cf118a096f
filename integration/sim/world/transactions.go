package world

import (
	"math/rand/v2"

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
	if x.IntN(4) > 0 || d.copied != nil || d.restores || len(d.p.Lasting) > 0 {
		return
	}
	p := d.p
	p.Cluster.Transactions = 1
	if p.Cluster.ProduceMax == 0 && x.IntN(3) > 0 {
		p.Cluster.Transactions = 2
	}
	p.Cluster.Scan = 50 + x.Int64N(500)
	if p.Cluster.Transactions == 1 { // nothing tells a late copy of a request that was answered from a new one
		p.Chance.Twice = 0
	}
	for i := range p.Hosts {
		h := &p.Hosts[i]
		h.TransactionalID, h.ExpireMs = "id-"+string(rune('a'+i)), 0
		h.TimeoutMs, h.MaxUnit = 500+x.Int64N(4000), 1+x.IntN(60)
	}
	for range x.IntN(4) {
		topic := broker.TransactionState
		if x.IntN(2) == 0 {
			topic = broker.GroupOffsets
		}
		p.Faults = append(p.Faults, Fault{At: 50 + x.Int64N(p.Chaos), Kind: MoveLeader, A: x.Int32N(p.Brokers), Name: topic})
	}
}

// acts reports whether a late copy of a request may change anything.
func (s *written) acts() bool {
	switch s.msg.(type) {
	case *kmsg.ProduceRequest, *kmsg.AddPartitionsToTxnRequest, *kmsg.AddOffsetsToTxnRequest, *kmsg.TxnOffsetCommitRequest, *kmsg.EndTxnRequest:
		return true
	}
	return false
}

// transaction says what became of the transaction that a batch belongs to.
func (w *World) transaction(b *broker.Logged) *check.Transaction {
	if b.Serial == 0 {
		return nil
	}
	t := &check.Transaction{Number: b.Serial, Aborted: b.Aborted, Open: b.Open, Decided: -1}
	if end := w.cluster.End(b.Serial); end.At > 0 {
		t.Decided, t.Commit = end.At-epoch, end.Committed
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
