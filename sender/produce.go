package sender

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
)

// drain puts sealed batches on the wire, and takes the answers.
type drain struct {
	parts
	changes *changes
	ready   map[int32]*readyList // by broker
}

// readyList is the partitions that may have something to send to one broker, in turn: one that has sent goes to the end, so
// that none starves.
type readyList struct{ list []*partition }

// enlist puts p on its leader's list if it has something to send now.
func (d *drain) enlist(p *partition) {
	leader, _ := p.leader()
	if leader < 0 || p.NextToSend(d.env(p)) == nil {
		return
	}
	r := d.ready[leader]
	if r == nil {
		r = &readyList{}
		d.ready[leader] = r
	}
	if p.ready == r {
		return
	}
	if p.ready != nil { // of a former leader
		p.ready.list = slices.DeleteFunc(p.ready.list, func(x *partition) bool { return x == p })
	}
	p.ready = r
	r.list = append(r.list, p)
}

// produce puts sealed batches on the wire: for each broker, requests with at most one
// batch per partition, while it may have more in flight.
func (d *drain) produce() {
	for _, b := range d.view.Brokers() {
		r := d.ready[b.ID]
		if r == nil || len(r.list) == 0 || !b.Up || d.view.Throttled(b) {
			continue
		}
		for b.InFlight < d.cfg.MaxInFlight && d.produceTo(b, r) {
		}
	}
}

func (d *drain) produceTo(b *cluster.Broker, r *readyList) bool {
	var q *request
	var batches []*accumulator.Batch
	size := 0
	for range len(r.list) {
		p := r.list[0]
		next := d.nextFor(p, b)
		if next != nil && size > 0 && size+next.Batch.WireSize() > d.cfg.MaxRequestSize {
			break // the next request begins with it
		}
		r.list[0] = nil
		r.list = r.list[1:]
		if next == nil {
			p.ready = nil
			continue
		}
		if q == nil {
			q = &request{kind: reqProduce}
		}
		size += next.Batch.WireSize()
		p.Sent(d.env(p), next)
		q.batches = append(q.batches, next)
		q.parts = append(q.parts, p)
		batches = append(batches, next.Batch)
		r.list = append(r.list, p)
	}
	if q == nil {
		return false
	}
	b.InFlight++
	d.request(Request{Kind: KindProduce, Broker: b.ID, Batches: batches}, q)
	return true
}

// nextFor is the batch of p that may go to b now, or nil.
func (d *drain) nextFor(p *partition, b *cluster.Broker) *idempotence.Sealed {
	if leader, _ := p.leader(); leader != b.ID || p.lane.remote.Uncertain() || p.lane.remote.Recreated {
		return nil
	}
	return p.NextToSend(d.env(p))
}

// onProduce takes the answer to a Produce request.
func (d *drain) onProduce(q *request, resp Response) {
	if b := d.view.Broker(q.broker); b != nil && b.InFlight > 0 {
		b.InFlight--
	}
	r, ok := resp.Message.(*kmsg.ProduceResponse)
	ok = ok && resp.Err == nil
	if ok {
		for i := range r.Brokers {
			d.view.Met(r.Brokers[i].NodeID)
		}
	}
	for k, b := range q.batches {
		p := q.parts[k]
		a := idempotence.NoAnswer("the response does not mention the partition")
		if ok {
			d.findAnswer(q.broker, r, p, b, &a)
		} else {
			a.Message = cluster.ErrText(resp.Err)
			a.NeverWritten = resp.Err != nil && !resp.Written
		}
		d.activate(p)
		if p.Answered(d.env(p), b, a) {
			p.needMeta = d.view.Refresh()
		}
		d.collect(p)
	}
	for _, p := range q.parts {
		if p.lane.undecided {
			d.changes.recreated(p.lane)
		}
	}
}

// findAnswer sets a to the part of a response that answers b, if there is one.
func (d *drain) findAnswer(broker int32, r *kmsg.ProduceResponse, p *partition, b *idempotence.Sealed, a *idempotence.Answer) {
	for i := range r.Topics {
		t := &r.Topics[i]
		if t.Topic != p.lane.topic && (t.Topic != "" || protocol.TopicID(t.TopicID) != b.Seal.TopicID) {
			continue
		}
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			if rp.Partition != p.ID {
				continue
			}
			*a = idempotence.Answer{Code: protocol.ErrorCode(rp.ErrorCode), Offset: protocol.Offset(rp.BaseOffset), Stamp: rp.LogAppendTime}
			if rp.ErrorMessage != nil {
				a.Message = *rp.ErrorMessage
			}
			for _, e := range rp.ErrorRecords {
				bad := idempotence.BadRecord{Place: e.RelativeOffset}
				if e.ErrorMessage != nil {
					bad.Message = *e.ErrorMessage
				}
				a.Bad = append(a.Bad, bad)
			}
			if l := rp.CurrentLeader; a.Code != protocol.None { // KIP-951
				d.view.Leads(p.lane.remote, p.ID, l.LeaderID, l.LeaderEpoch)
				d.changes.apply()
				leader, _ := p.leader()
				a.Led = leader >= 0 && leader != broker
			}
			return
		}
	}
}
