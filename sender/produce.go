package sender

import (
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
	turn    int // where the next drain begins, so that none starves
}

// produce puts sealed batches on the wire: for each broker, requests with at most one
// batch per partition, while it may have more in flight.
func (d *drain) produce() {
	if len(d.active) == 0 {
		return
	}
	d.turn++
	for _, b := range d.view.Brokers() {
		if !b.Up || d.view.Throttled(b) {
			continue
		}
		for b.InFlight < d.cfg.MaxInFlight && d.produceTo(b) {
		}
	}
}

func (d *drain) produceTo(b *cluster.Broker) bool {
	var q *request
	var batches []*accumulator.Batch
	size := 0
	for k := range d.active {
		p := d.active[(k+d.turn)%len(d.active)]
		if leader, _ := p.leader(); leader != b.ID || p.lane.remote.Uncertain() || p.lane.remote.Recreated {
			continue
		}
		next := p.NextToSend(d.env(p))
		if next == nil || size > 0 && size+len(next.Batch.Buf) > d.cfg.MaxRequestSize {
			continue
		}
		if q == nil {
			q = &request{kind: reqProduce}
		}
		size += len(next.Batch.Buf)
		p.Sent(d.env(p), next)
		q.batches = append(q.batches, next)
		q.parts = append(q.parts, p)
		batches = append(batches, next.Batch)
	}
	if q == nil {
		return false
	}
	b.InFlight++
	d.request(Request{Kind: KindProduce, Broker: b.ID, Batches: batches}, q)
	return true
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
		led := false
		a := idempotence.NoAnswer("the response does not mention the partition")
		if ok {
			led = d.findAnswer(r, p, b, &a)
		} else {
			a.Message = cluster.ErrText(resp.Err)
			a.NeverWritten = resp.Err != nil && !resp.Written
		}
		d.activate(p)
		if p.Answered(d.env(p), b, a) && !led {
			p.needMeta = d.view.Refresh()
		}
		d.took(p)
	}
	for _, p := range q.parts {
		if p.lane.undecided {
			d.changes.recreated(p.lane)
		}
	}
}

// findAnswer sets a to the part of a response that answers b, if there is one. It reports whether that names a newer leader.
func (d *drain) findAnswer(r *kmsg.ProduceResponse, p *partition, b *idempotence.Sealed, a *idempotence.Answer) (led bool) {
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
				led = d.view.Leads(p.lane.remote, p.ID, l.LeaderID, l.LeaderEpoch)
				d.changes.take()
			}
			return led
		}
	}
	return false
}
