package transaction

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/cluster"
)

// produceV2 is the version of Produce from which on partitions are added to the transaction by it.
const produceV2 = 12

// produce puts batches of the open transaction on the wire: for each broker, requests with at most
// one batch per partition, while it may have more in flight.
func (s *producer) produce() {
	c := s.sending
	if c == nil || c.failed || s.m.State() != inTransaction {
		return
	}
	s.turn++
	for _, b := range s.view.Brokers() {
		if !b.Up {
			s.reach(c, b)
			continue
		}
		if s.view.Throttled(b) {
			continue
		}
		for b.InFlight < s.cfg.MaxInFlight && s.produceTo(c, b) {
		}
	}
}

// reach has a broker connected to that leads a partition with batches to send: with all connections gone at once nothing else may
// have anything to ask it until the transaction's time is over.
func (s *producer) reach(c *cut, b *cluster.Broker) {
	for _, l := range c.lanes {
		for _, p := range l.parts {
			if leader, _ := l.remote.Leader(p.id); leader == b.ID && len(p.queue) > 0 {
				s.view.Way(l.remote, p.id)
				return
			}
		}
	}
}

func (s *producer) produceTo(c *cut, b *cluster.Broker) bool {
	var q *request
	var batches []*accumulator.Batch
	size := 0
	for k := range c.lanes {
		l := c.lanes[(k+s.turn)%len(c.lanes)]
		if l.remote.Uncertain() || l.remote.Recreated {
			continue
		}
		for _, p := range l.parts {
			if len(p.queue) == 0 {
				continue
			}
			if leader, _ := l.remote.Leader(p.id); leader != b.ID {
				s.view.Way(l.remote, p.id) // asks for what is missing
				continue
			}
			f := s.nextToSend(p)
			if f == nil || size > 0 && size+f.batch.WireSize() > s.cfg.MaxRequestSize {
				continue
			}
			if q == nil {
				q = &request{kind: reqProduce}
			}
			s.identify(p, f)
			size += f.batch.WireSize()
			if f.copies > 0 {
				s.retries++
				s.event(sender.BatchRetried{Topic: l.topic, Partition: p.id, Code: f.code})
			}
			f.sent = true
			f.copies++
			p.onWire++
			c.onWire++
			q.flights = append(q.flights, f)
			batches = append(batches, f.batch)
		}
	}
	if q == nil {
		return false
	}
	b.InFlight++
	r := sender.Request{Kind: sender.KindProduce, Broker: b.ID, Batches: batches, TransactionalID: s.cfg.ID, MaxVersion: s.m.ProduceMax()}
	if s.m.Version() >= 2 {
		r.MinVersion = produceV2
	}
	s.request(r, q)
	return true
}

// answer is what one copy of one batch came to.
type answer struct {
	code    protocol.ErrorCode
	offset  int64
	stamp   int64 // LogAppendTime, or -1
	message string
	bad     []int32
	lost    bool // no answer
	led     bool // it names a newer leader
	written bool // with lost: the broker may have got it
}

// onProduce takes the answer to a Produce request.
func (s *producer) onProduce(q *request, resp sender.Response) {
	if b := s.view.Broker(q.broker); b != nil && b.InFlight > 0 {
		b.InFlight--
	}
	r, ok := resp.Message.(*kmsg.ProduceResponse)
	if ok && resp.Err == nil {
		for i := range r.Brokers {
			s.view.Met(r.Brokers[i].NodeID)
		}
	}
	for _, f := range q.flights {
		p := f.part
		a := answer{lost: true, written: resp.Written, offset: -1, stamp: -1, message: cluster.ErrText(resp.Err)}
		if ok && resp.Err == nil {
			a = s.find(r, f)
		}
		f.sent = false
		f.cut.onWire--
		if f.dead {
			s.recycle(f)
			continue
		}
		p.onWire--
		if s.stop == nil && s.starter.phase == running {
			s.answered(f, a)
		}
	}
}

// find is the part of a response that answers f.
func (s *producer) find(r *kmsg.ProduceResponse, f *flight) answer {
	l := f.part.lane
	for i := range r.Topics {
		t := &r.Topics[i]
		if t.Topic != l.topic && (t.Topic != "" || protocol.TopicID(t.TopicID) != f.batch.TopicID) {
			continue
		}
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			if rp.Partition != f.part.id {
				continue
			}
			a := answer{code: protocol.ErrorCode(rp.ErrorCode), offset: rp.BaseOffset, stamp: rp.LogAppendTime}
			if rp.ErrorMessage != nil {
				a.message = *rp.ErrorMessage
			}
			for _, e := range rp.ErrorRecords {
				a.bad = append(a.bad, e.RelativeOffset)
				if e.ErrorMessage != nil {
					a.message = *e.ErrorMessage
				}
			}
			if a.code != protocol.None {
				a.led = s.view.Leads(l.remote, f.part.id, rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch) // KIP-951
			}
			return a
		}
	}
	return answer{lost: true, written: true, offset: -1, stamp: -1, message: "the response does not mention the partition"}
}

// answered takes what one copy of a batch was answered.
func (s *producer) answered(f *flight, a answer) {
	p, c := f.part, f.cut
	class := a.code.Class()
	if !a.lost && (class == protocol.Success || class == protocol.Duplicate) {
		if p.queue[0] != f {
			s.runner.fail(c, protocol.None, fmt.Sprintf("%s: a batch was acknowledged before the one that goes before it", p.tp()))
			return
		}
		if class == protocol.Duplicate {
			a.offset = -1
		}
		s.acknowledged(f, a)
		return
	}
	p.muted = true
	p.detail = a.code.String()
	if a.lost || a.message != "" {
		p.detail = a.message
	}
	f.code = a.code
	detail := p.tp().String() + ": " + a.code.String()
	if a.message != "" {
		detail += ": " + a.message
	}
	if right := a.code.MissingRight(); right != "" {
		detail += ": " + right
	}
	switch {
	case a.lost:
		if a.written {
			s.m.Doubt()
		}
		s.view.Refresh()
		s.later(p)
	case a.code == protocol.ConcurrentTransactions:
		p.retryAt = s.now.Age + min(s.cfg.RetryBackoffMs, 20) // the end of the transaction before is not written everywhere
		s.wake(p.retryAt)
	case a.led: // it goes there at once
	case class == protocol.Retriable || class == protocol.RefreshRetriable:
		if !a.code.NotAppended() {
			s.m.Doubt()
		}
		if class == protocol.RefreshRetriable {
			s.view.Refresh()
		}
		s.later(p)
	case class == protocol.OutOfOrder:
		if p.queue[0] != f {
			s.later(p) // the one before it failed; both go again
			return
		}
		s.runner.fail(c, a.code, detail)
	case class == protocol.Fenced:
		s.m.Fence(a.code, "Produce: "+detail)
	case a.code == protocol.InvalidProducerIDMapping:
		s.m.Forget(a.code, "Produce: "+detail)
	case a.code == protocol.TransactionalIDAuthorizationFailed:
		s.m.Deny(a.code, "Produce: "+detail)
	case class == protocol.Refused:
		s.runner.refused(f, a, detail)
	case class == protocol.Abortable:
		s.runner.fail(c, a.code, detail)
	default: // a right is missing, or a setting is in the way: the topic waits, the others go on
		s.block(p.lane, a.code, detail)
		s.runner.fail(c, a.code, detail)
	}
}

// later has a partition try again after a while: nothing of its batches changes.
func (s *producer) later(p *partition) {
	p.attempts++
	p.retryAt = s.now.Age + s.backoff.After(p.attempts)
	s.wake(p.retryAt)
}

// acknowledged: the batch is on all in-sync replicas, inside the open transaction.
func (s *producer) acknowledged(f *flight, a answer) {
	p, c := f.part, f.cut
	p.queue = append(p.queue[:0], p.queue[1:]...)
	p.attempts, p.retryAt, p.detail = 0, 0, ""
	if p.identity == f.batch.Identity {
		p.known = true
	}
	w := c.parts[p]
	if w == nil {
		w = &written{first: a.offset}
		c.parts[p] = w
	}
	w.records += f.batch.Count
	if w.last = a.offset; a.offset >= 0 {
		w.last += int64(f.batch.Count) - 1
		p.offset = w.last
	}
	c.acked = append(c.acked, acked{
		lane: p.lane, partition: p.id, spans: f.batch.Spans, offset: a.offset, stamp: a.stamp, bytes: len(f.batch.Buf), records: f.batch.Count,
	})
	c.unacked--
	s.recycle(f)
	s.reader.release(noMemory)
}

// recycle gives a batch's memory back. Nothing of it is on the wire.
func (s *producer) recycle(f *flight) {
	if f.batch.Buf == nil {
		return
	}
	if f.copies > 0 {
		s.eff.Recycle = append(s.eff.Recycle, f.batch)
	}
	s.acc.Recycle(f.batch)
}

// block has a topic wait: its units are not admitted before it is tried again.
func (s *producer) block(l *lane, code protocol.ErrorCode, detail string) {
	l.retries++
	l.retryAt = s.now.Age + blockedMs(&s.cfg)
	l.detail, l.blocked = detail, detail
	s.wake(l.retryAt)
	if l.remote.ReportOnce(code) {
		s.event(sender.TopicTrouble{Topic: l.topic, Code: code, Message: detail})
	}
}
