package world

import (
	"slices"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/transaction"
	"github.com/spoold/spoold/spool"
)

// takeOver has the operator take the id back from a rival.
func (h operator) takeOver() {
	t := h.core.Status(h.now()).Transaction
	if t == nil || t.Fenced == "" {
		return
	}
	if h.rivals == 0 {
		h.w.hist.Parks = append(h.w.hist.Parks, check.Park{Host: h.id, Topic: "transactional id " + h.plan.TransactionalID, Reason: "fenced, and nobody else has used it: " + t.Fenced})
	}
	e, err := h.core.(*transaction.Sender).Operate(h.now(), sender.TransactionTakeOver)
	h.w.tell("host %d: take-over: %v", h.id, err)
	h.carry(e)
}

// outcomes says what became of the transactions that are parked, the oldest first: the operator knows what is true.
func (h operator) outcomes() {
	for _, d := range h.parked() {
		serial := h.carried(&d)
		end := h.w.cluster.End(serial)
		if end.Torn || halved(h.w)[serial] {
			h.w.tell("host %d: transaction %d stays parked: the cluster has committed a part of it and aborted the rest", h.id, d.Ordinal)
			h.stuck = true
			return
		}
		h.w.hist.Parks = append(h.w.hist.Parks, check.Park{Host: h.id, Topic: "a transaction of " + h.plan.TransactionalID, Reason: d.Park.Reason})
		op := sender.TransactionAborted
		if end.Committed {
			op = sender.TransactionCommitted
		}
		e, err := h.core.(*transaction.Sender).Operate(h.now(), op)
		h.w.tell("host %d: transaction %d was %s, the operator says: %v", h.id, d.Ordinal, op, err)
		h.w.resolved++
		h.carry(e)
	}
}

// parked are the transactions that wait for an operator, as they are on the disk; none while one is on its way to it.
func (h operator) parked() []spool.Decision {
	t := h.core.Status(h.now()).Transaction
	if t == nil || t.Parked == 0 {
		return nil
	}
	d := h.disk.Copy()
	defer d.Close()
	rec, err := d.Open(h.clock())
	if err != nil || len(rec.Transaction.Parked) != t.Parked {
		return nil
	}
	return rec.Transaction.Parked
}

// carried is the number of the transaction by which the cluster was given what d carries; 0: it is in no log. Under version 1 an
// aborted one before it may have had the same records and the same epoch.
func (h operator) carried(d *spool.Decision) (serial int64) {
	var records []int
	for _, r := range d.Cut {
		for i := r.First; i < r.End; i++ {
			records = append(records, h.records[r.Lane][i])
		}
	}
	for _, t := range h.w.cluster.Topics() {
		for p := range t.Partitions {
			list, _ := h.w.cluster.Log(t.ID, p)
			for i := range list {
				if b := &list[i]; b.Identity == d.Identity && !b.Control && slices.ContainsFunc(b.Records, func(r brokerRecord) bool {
					return slices.Contains(records, h.w.entry(t.Name, b.Offset, &r).Record)
				}) {
					serial = max(serial, b.Serial)
				}
			}
		}
	}
	return serial
}

// openTransactions are those that somebody is to end. Where brokers lose markers, a host that had to stop for good writes none.
func openTransactions(w *World) []string {
	var gone []string
	for _, h := range w.hosts {
		if w.plan.Cluster.LosesMarkers && (h.gone || h.stuck) {
			gone = append(gone, h.plan.TransactionalID)
		}
	}
	return w.cluster.OpenTransactions(gone...)
}
