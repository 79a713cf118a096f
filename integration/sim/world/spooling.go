package world

import (
	"errors"
	"maps"
	"slices"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// The committer's half of a host's process: one commit after the other, never two at once.

// take is a request of a client: its batch goes into the open group, or not. The client is answered once.
func (h *host) take(op int, b *bolt.BatchInput, tell func(check.Result)) (disk.Receipt, bool) {
	h.w.event(check.Event{Kind: check.Asked, Host: h.id, Op: op})
	if h.closing || h.stopWith != nil || h.w.ag.Now() < h.full {
		tell(check.Refused)
		return disk.Receipt{}, false
	}
	if s := (stager{h}); s.inPieces(b) {
		s.takePieces(op, b, tell)
		return disk.Receipt{}, true
	}
	h.byBatch[b] = op
	r, err := h.disk.Append(b, h.now())
	switch {
	case errors.Is(err, disk.ErrKeyReused):
		tell(check.Reused)
		return r, false
	case err != nil:
		tell(check.Refused)
		h.after(0, func() { dropOldest(h) })
		return r, false
	case r.Group == 0:
		tell(check.OK)
	default:
		h.waiters[r.Group] = append(h.waiters[r.Group], waiter{op, tell})
	}
	h.appended = h.appended || !r.Repeat
	h.commit()
	return r, true
}

// commit begins a commit, if one is due and none is under way.
func (h *host) commit() {
	due := h.appended || h.urgent && len(h.owed) > 0 || len(h.owed) > 0 && (h.closing || h.w.ag.Now() >= h.settleAt)
	if !h.up || h.committing || !due {
		return
	}
	h.committing, h.appended, h.urgent, h.settleAt = true, false, false, 0
	writes := h.owed
	h.owed = nil
	h.disk.Begin(writes, h.now())
	h.answer()
	ms := h.chance.Int64N(h.plan.CommitMs + 1)
	if h.w.ag.Now() < h.slow {
		ms += 50 + h.chance.Int64N(150)
	}
	h.after(ms, h.committed)
}

// committed is called when the disk has synced.
func (h *host) committed() {
	if h.fail != "" {
		h.failed()
		return
	}
	done := h.disk.Finish()
	witness{h}.sample()
	h.answer()
	for _, c := range done {
		e := c.Events
		h.carry(h.core.Committed(h.now(), &e))
		if !h.up {
			return
		}
		if h.stopWith != nil && e.Writes >= h.stopAfter {
			h.stopped()
			return
		}
	}
	h.committing = false
	dropOldest(h)
	h.commit()
}

// answer answers clients as the disk answers its callers.
func (h *host) answer() {
	for _, g := range h.disk.Answered() {
		waiting := h.waiters[g]
		delete(h.waiters, g)
		for _, x := range waiting {
			x.tell(check.OK)
		}
	}
}

// failed is called when the disk has not: whether the commit is durable is not known.
func (h *host) failed() {
	full := h.fail == DiskNoSpace
	h.w.count(string(h.fail))
	h.fail = ""
	h.w.event(check.Event{Kind: check.Broken, Host: h.id})
	err := h.disk.Fail(h.chance.IntN(2) == 0, full)
	h.w.tell("host %d: %v", h.id, err)
	h.answer()
	for _, g := range sortedGroups(h.waiters) {
		for _, x := range h.waiters[g] {
			x.tell(check.Unknown)
		}
	}
	h.waiters = map[uint64][]waiter{}
	// A full disk is outlived by the process, which opens its spool again exactly as at a start; any
	// other error ends it. For what is promised that is the same, but for the connections.
	h.end(check.Poison, false, err.Error())
	h.w.ag.After(1+h.chance.Int64N(50), h.start)
}

// durable is called by the disk for a commit that is.
func (h *host) durable(batches []disk.DurableBatch, writes []*spool.Write) {
	for i := range batches {
		b := &batches[i]
		op := &h.w.hist.Ops[h.byBatch[b.Batch]]
		for k, s := range b.Spots {
			for int(s.Lane) >= len(h.records) {
				h.records = append(h.records, nil)
			}
			lane := h.records[s.Lane]
			for len(lane) <= int(s.Index) {
				lane = append(lane, -1)
			}
			lane[s.Index] = op.First + k
			h.records[s.Lane] = lane
			h.w.event(check.Event{Kind: check.Durable, Host: h.id, Record: op.First + k, Index: uint64(s.Index), Timestamp: b.Timestamps[k]})
		}
	}
	for _, wr := range writes {
		h.bound = h.bound || wr.ClusterID != ""
		for i := range wr.Settle {
			witness{h}.settled(&wr.Settle[i])
		}
	}
}

func (h witness) settled(x *spool.Settlement) {
	for _, sp := range x.Spans {
		for k := sp.First; k < sp.End; k++ {
			if r := h.record(disk.Spot{Lane: x.Lane, Index: k}); r >= 0 && !(h.left[r] && h.plan.TransactionalID != "") {
				h.left[r] = true // a transaction settles its whole run, with dead letters that lie in it
				h.w.event(check.Event{Kind: check.Left, Host: h.id, Record: r, Outcome: check.Outcome(x.Outcome)})
			}
		}
	}
}

// sample notes what the disk counts and what the process uses.
// witness notes what is durable on a host, for the checker.
type witness struct{ *host }

func (h witness) sample() {
	c := h.disk.Counters()
	s := &check.Sample{Accepted: c.Accepted, Acked: c.Acked, DeadLettered: c.DeadLettered, Expired: c.Expired,
		Bytes: h.disk.Bytes(), MaxBytes: h.plan.MaxBytes + groupBytes, MaxInFlight: 5, MaxUnanswered: 5,
		MaxBuffer: h.plan.Sender.BufferMemory + 2*h.plan.Sender.BatchSize + groupBytes}
	s.Buffer = h.core.Buffered()
	if d, ok := h.disk.(*disk.Alone); ok {
		s.Owned, s.MaxOwned = d.Owned()
		s.Overdrawn = d.Overdrawn()
	}
	for _, b := range h.w.brokerIDs() {
		if l := h.links[b]; l != nil {
			s.InFlight = max(s.InFlight, l.producing())
			s.Unanswered = max(s.Unanswered, l.unanswered())
		}
	}
	h.w.event(check.Event{Kind: check.Sampled, Host: h.id, Sample: s})
}

// groupBytes is what may be added to a spool after its limit was looked at: one group, and one that fills.
const groupBytes = 64 << 10

func sortedGroups(m map[uint64][]waiter) []uint64 { return slices.Sorted(maps.Keys(m)) }
