package broker

import (
	"math"
	"slices"

	"github.com/spoold/spoold/integration/sim/raw"
	"github.com/spoold/spoold/protocol"
)

// markerKind says whether an entry is a control record, and which.
type markerKind uint8

const (
	noMarker markerKind = iota
	commitMarker
	abortMarker
)

// mark has the markers of a decided transaction written, each partition in its own time, and the end written down when all are
// (TransactionMarkerChannelManager).
func (k *txnCoordinator) mark(n *node, t *coordinated) {
	switch end, twice := n.c.ends[t.serial]; {
	case len(t.parts) == 0:
	case !twice:
		n.c.ends[t.serial] = End{At: n.c.now(), Committed: t.state == prepareCommit}
	case end.Committed != (t.state == prepareCommit):
		end.Torn = true
		n.c.ends[t.serial] = end
	}
	t.left, t.retries = slices.Clone(t.parts), 0
	for _, p := range t.parts {
		k.markLater(n, t, p, n.c.within(n.c.cfg.Work))
	}
	k.marked(n, t)
}

func (k *txnCoordinator) markLater(n *node, t *coordinated, p txnPart, ms int64) {
	n.after(ms, func() {
		if n.coordinator.ids[t.id] == t && t.state.preparing() && slices.Contains(t.left, p) {
			k.markOne(n, t, p)
		}
	})
}

// slower is how much longer than at first the end of a transaction waits for its next try: nobody may be there to lead or to
// replicate, perhaps all night and the next day: a try each second is half a million steps then. It ends where the time-out's does.
func (t *coordinated) slower() int64 {
	t.retries++
	return min(max(t.retries-promptTries, 0), 10_000)
}

// promptTries is after how many tries the pause between them begins to grow.
const promptTries = 100

// markOne sends the marker of one partition to whom this broker takes for its leader.
func (k *txnCoordinator) markOne(n *node, t *coordinated, p txnPart) {
	again := func() { k.markLater(n, t, p, 1+n.c.cfg.Learn+n.c.within(n.c.cfg.Learn)+t.slower()) }
	v := n.views[p.topic]
	if v == nil || p.number >= int32(len(v.parts)) { // it was deleted
		k.unmark(n, t, p)
		return
	}
	leader := v.parts[p.number].leader
	if leader < 0 {
		if n.c.cfg.LosesMarkers {
			n.c.logf("coordinator %d: the marker of %s-%d is dropped: nobody leads it", n.id, p.topic, p.number)
			k.unmark(n, t, p)
			return
		}
		again()
		return
	}
	to, life, own := n.c.nodes[leader], n.c.nodes[leader].life, n.life
	cuts := to.cuts + n.cuts
	e := t.marker(k.replica.epoch, n.c.now())
	answered := false
	sent := calls{n}.send(leader, func(m *node) {
		transactional{m}.writeMarker(p, e, func(code protocol.ErrorCode) {
			calls{m}.back(n, own, func() {
				answered = true
				if n.coordinator.ids[t.id] != t || !t.state.preparing() || !slices.Contains(t.left, p) {
					return
				}
				switch code {
				case protocol.None, protocol.InvalidProducerEpoch:
					k.unmark(n, t, p)
				case protocol.TransactionCoordinatorFenced: // a newer one does it
				default:
					again()
				}
			})
		})
	})
	if !sent {
		again()
		return
	}
	// It is sent again when that process is known to be gone, or to lead no more, or when the connection to it was lost.
	var watch func()
	watch = func() {
		v := n.views[p.topic]
		switch {
		case answered:
		case v == nil, v.parts[p.number].leader != leader, to.life != life, to.cuts+n.cuts != cuts && to != n:
			k.markLater(n, t, p, 0)
		default:
			n.after(1+n.c.cfg.Session, watch)
		}
	}
	n.after(1+n.c.cfg.Session, watch)
}

// marker is the control batch that ends t.
func (t *coordinated) marker(reign int32, now int64) entry {
	e := entry{pid: t.pid, pepoch: t.epoch, base: -1, last: -1, maxTS: now, marker: abortMarker, reign: reign, serial: t.serial, transactional: true, v2: t.bumped}
	if t.state == prepareCommit {
		e.marker = commitMarker
	}
	kind := byte(0) // ControlRecordType
	if e.marker == commitMarker {
		kind = 1
	}
	b := raw.Batch((&raw.Spec{PID: t.pid, Epoch: t.epoch, Base: -1, Flags: raw.Control | raw.Transactional, Records: []raw.Record{{
		Timestamp: now, Key: []byte{0, 0, 0, kind}, Value: []byte{0, 0, 0, 0, 0, byte(reign)},
	}}}).Bytes())
	e.raw = b
	return e
}

// unmark notes that a partition has its marker, or needs none.
func (k *txnCoordinator) unmark(n *node, t *coordinated, p txnPart) {
	t.left = slices.DeleteFunc(t.left, func(x txnPart) bool { return x == p })
	k.marked(n, t)
}

// marked ends the transaction when no marker is left to be written.
func (k *txnCoordinator) marked(n *node, t *coordinated) {
	if len(t.left) > 0 || t.pending || !t.state.preparing() {
		return
	}
	next := t.txn
	next.parts = nil
	next.state = completeAbort
	if t.state == prepareCommit {
		next.state = completeCommit
	}
	k.write(n, t, next, func(code protocol.ErrorCode) {
		if code != protocol.None && n.coordinator.ids[t.id] == t {
			n.after(1+n.c.cfg.Learn+t.slower(), func() { k.marked(n, t) })
		}
	})
}

// writeMarker is WriteTxnMarkers for one partition (KafkaApis.handleWriteTxnMarkersRequest, ProducerAppendInfo).
func (n transactional) writeMarker(p txnPart, e entry, reply func(protocol.ErrorCode)) {
	v := n.views[p.topic]
	if v == nil {
		reply(protocol.UnknownTopicOrPartition)
		return
	}
	r, code := n.leading(v, p.number)
	if code != protocol.None {
		reply(code)
		return
	}
	known := r.producers[e.pid]
	if known != nil {
		if code := known.refuses(&e); code != protocol.None {
			reply(code)
			return
		}
	}
	e.began = r.end()
	if known != nil && known.open > 0 {
		e.began = known.open - 1
	}
	delete(r.verifying, e.pid)
	e.raw = slices.Clone(e.raw)
	e.raw.Place(r.end(), r.epoch)
	transactions{r}.replicate(e, reply)
}

// refuses says why a marker may not be written (ProducerAppendInfo.checkProducerEpoch, checkCoordinatorEpoch). One of KIP-890 has a newer
// epoch than its transaction, unless it is written again when that is over.
func (p *producer) refuses(e *entry) protocol.ErrorCode {
	again := p.open == 0 || e.pepoch == math.MaxInt16
	switch {
	case e.pepoch < p.epoch, e.v2 && e.pepoch == p.epoch && !again:
		return protocol.InvalidProducerEpoch
	case e.reign < p.reign-1:
		return protocol.TransactionCoordinatorFenced
	}
	return protocol.None
}

// readCommitted is an isolation level of Fetch.
const readCommitted = 1

// stable is the last stable offset: no transaction is open below it, and none that has ended is not replicated
// (UnifiedLog.lastStableOffset).
func (r transactions) stable() int64 {
	lso := r.hw
	for _, p := range r.producers {
		if p.open > 0 {
			lso = min(lso, p.open-1)
		}
	}
	for i := len(r.log) - 1; i >= 0 && r.log[i].end() > r.hw; i-- {
		if r.log[i].marker != noMarker {
			lso = min(lso, r.log[i].began)
		}
	}
	return lso
}

// aborted are the transactions that a reader of so much must leave out (TransactionIndex.collectAbortedTxns).
func (r transactions) aborted(from, upTo int64) (list []abortedTxn) {
	for i := range r.log {
		if e := &r.log[i]; e.marker == abortMarker && e.offset >= from && e.began < min(upTo, e.offset) {
			list = append(list, abortedTxn{ProducerID: e.pid, FirstOffset: e.began})
		}
	}
	return list
}
