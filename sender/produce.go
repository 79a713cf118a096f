package sender

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// answer is what one copy of one batch was told.
type answer struct {
	code    protocol.ErrorCode
	offset  protocol.Offset
	stamp   int64 // LogAppendTime, or -1
	message string
	bad     []int32
	lost    bool // no answer
}

// onProduce takes the answer to a Produce request.
func (s *Sender) onProduce(q *request, resp Response) {
	if b := s.view.Broker(q.broker); b != nil && b.InFlight > 0 {
		b.InFlight--
	}
	r, ok := resp.Message.(*kmsg.ProduceResponse)
	if ok && resp.Err == nil {
		s.view.Throttle(q.broker, r.ThrottleMillis)
	}
	for k, inf := range q.batches {
		p := q.parts[k]
		a := answer{lost: true, offset: protocol.NoOffset, stamp: -1}
		if ok && resp.Err == nil {
			a = s.find(r, p, inf)
		} else {
			a.message = cluster.ErrText(resp.Err)
			if !resp.Written {
				inf.copies--
			}
		}
		inf.sent = false
		p.onWire--
		s.answered(p, inf, a, resp.Err != nil && !resp.Written)
	}
}

// find is the part of a response that answers inf.
func (s *Sender) find(r *kmsg.ProduceResponse, p *partition, inf *inflight) answer {
	for i := range r.Topics {
		t := &r.Topics[i]
		if t.Topic != p.lane.topic && (t.Topic != "" || protocol.TopicID(t.TopicID) != inf.seal.TopicID) {
			continue
		}
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			if rp.Partition != p.id {
				continue
			}
			a := answer{code: protocol.ErrorCode(rp.ErrorCode), offset: protocol.Offset(rp.BaseOffset), stamp: rp.LogAppendTime}
			if rp.ErrorMessage != nil {
				a.message = *rp.ErrorMessage
			}
			for _, e := range rp.ErrorRecords {
				a.bad = append(a.bad, e.RelativeOffset)
				if e.ErrorMessage != nil {
					a.message = *e.ErrorMessage
				}
			}
			if l := rp.CurrentLeader; a.code != protocol.None {
				s.view.Leads(p.lane.remote, p.id, l.LeaderID, l.LeaderEpoch)
				s.viewChanged()
			}
			return a
		}
	}
	return answer{lost: true, offset: protocol.NoOffset, stamp: -1, message: "the response does not mention the partition"}
}

// answered takes what one copy of inf was told.
func (s *Sender) answered(p *partition, inf *inflight, a answer, neverWritten bool) {
	s.activate(p)
	class := a.code.Class()
	success := !a.lost && (class == protocol.Success || class == protocol.Duplicate) || planted.Is(planted.SettleBeforeAck) && a.lost
	if class == protocol.Duplicate {
		a.offset = protocol.NoOffset
	}
	switch {
	case success:
		inf.acked, inf.offset, inf.stamp = true, a.offset, a.stamp
		p.attempts, p.detail = 0, ""
	default:
		inf.code, inf.message, inf.bad = a.code, a.message, a.bad
		if !neverWritten && (a.lost || !a.code.NotAppended()) && !planted.Is(planted.DoubtForgotten) {
			inf.maybe++
		}
		s.retries++
		s.event(BatchRetried{Topic: p.lane.topic, Partition: p.id, Code: a.code})
		if class == protocol.RefreshRetriable || a.lost {
			p.needMeta = s.view.Refresh()
		}
	}
	if p.phase == resolving && inf == p.resend {
		p.resend = nil
		if !success {
			s.note(p, inf)
		}
		p.resolver.Resent(a.code, a.offset, a.lost || !success && !a.code.NotAppended())
		return
	}
	if p.phase != ready && p.phase != answers {
		return
	}
	s.settleFront(p)
	if p.phase == ready && (!success || p.overtook()) && !planted.Is(planted.ForgottenMute) {
		p.phase = answers // mute until all that is in flight is answered
		s.block(p, true)
	}
}

// settleFront settles what was acked at the front of the window.
func (s *Sender) settleFront(p *partition) {
	for len(p.window) > 0 && p.window[0].acked && p.phase != parked {
		s.settle(p, p.window[0].offset, "answer")
	}
}

// note keeps the reason that p waits, for people.
func (s *Sender) note(p *partition, inf *inflight) {
	switch {
	case inf.code != 0 && inf.message != "":
		p.detail = inf.code.String() + ": " + inf.message
	case inf.code != 0:
		p.detail = inf.code.String()
	case inf.message != "":
		p.detail = inf.message
	}
}

// settle takes the front of the window off: it is on all in-sync replicas.
func (s *Sender) settle(p *partition, offset protocol.Offset, how string) {
	inf := p.window[0]
	wentBack, last := p.wentBack(offset, how), p.ids.LastOffset
	p.window = append(p.window[:0], p.window[1:]...)
	first := p.ids.Settled == protocol.NoSequence
	p.ids.Acked(inf.seal.Base.Last(int(inf.seal.Count)), inf.seal.Count, offset, inf.seal.MaxTimestamp)
	if !s.clones.over && p.ids.LastOffset != protocol.NoOffset {
		p.lane.remote.Expected = max(p.lane.remote.Expected, p.id+1)
	}
	if first && len(p.limbo) > 0 {
		s.limboBound(p, offset)
	}
	s.w.Unseal = append(s.w.Unseal, inf.seal.SealKey)
	s.leave(p.lane, inf.seal.Spans, spool.OutcomeAcked)
	s.mark(p)
	s.eff.Deliver = append(s.eff.Deliver, Delivery{
		Lane: p.lane.id, Spans: inf.seal.Spans, Partition: p.id, Offset: offset, Timestamp: inf.stamp,
	})
	bytes := 0
	if inf.batch != nil {
		bytes = len(inf.batch.Buf)
	}
	s.event(BatchAcked{
		Topic: p.lane.topic, Partition: p.id, Records: int(inf.seal.Count), Bytes: bytes,
		Offset: offset, Recovered: inf.found, How: how,
	})
	s.recycle(inf)
	p.attempts, p.retryAt = 0, 0
	if wentBack {
		s.parkLower(p, offset, last)
	}
}

// wentBack reports whether a batch was acked at or below where one was acked before. A duplicate is answered with the offset
// of its first copy, which was not appended below what went before it either.
func (p *partition) wentBack(offset protocol.Offset, how string) bool {
	return how == "answer" && offset != protocol.NoOffset && p.ids.LastOffset != protocol.NoOffset && offset <= p.ids.LastOffset
}

func (s *Sender) parkLower(p *partition, offset, last protocol.Offset) {
	s.parkPartition(p, spool.ParkLogWentBack, fmt.Sprintf(
		"a batch was acked at offset %d, but offset %d had been acked before", offset, last))
}

// recycle gives a batch's memory back. One that was never sent may still be read by
// whoever makes its bytes: it is only forgotten.
func (s *Sender) recycle(inf *inflight) {
	b := inf.batch
	if b == nil {
		return
	}
	inf.batch = nil
	if inf.copies > 0 && !inf.sent {
		s.eff.Recycle = append(s.eff.Recycle, b)
		s.acc.Recycle(b)
	} else {
		s.acc.Forget(b)
	}
}

// judge decides how a partition goes on after an error, now that everything that
// was in flight is answered.
func (s *Sender) judge(p *partition) {
	s.settleFront(p)
	if p.phase == parked {
		return
	}
	if len(p.window) == 0 {
		p.phase = ready
		return
	}
	first := p.window[0]
	s.note(p, first)
	class := first.code.Class()
	switch {
	case planted.Is(planted.ResetUnresolved) && p.doubtful():
		s.reseal(p, p.window, "planted")
		p.phase = ready
	case p.doubtful() || p.overtook() || first.code != 0 && (class == protocol.OutOfOrder || class == protocol.Fenced):
		s.trouble(p, p.detail)
		p.phase = fresh // ask before anything is sent again
	case first.code != 0 && class == protocol.Refused:
		// Every copy of it was refused, and what is above was refused as out of order
		// or never written: nothing of it is in the log.
		p.phase = ready
		s.refused(p, true)
	default:
		// Certainly not appended, or never written: the same again, in order, after a
		// while. Never at once: whoever answers at once would be asked for ever.
		s.trouble(p, p.detail)
		if first.code != 0 {
			s.slow(p, class)
		}
		p.phase = ready
	}
}

// resolverBatches is the window as the resolver sees it.
func (p *partition) resolverBatches() []recovery.Batch {
	list := make([]recovery.Batch, len(p.window))
	above := protocol.Offset(0) // what was settled before lies below
	if p.ids.LastOffset != protocol.NoOffset {
		above = p.ids.LastOffset + 1
	}
	for i, inf := range p.window {
		list[i] = recovery.Batch{
			Base: inf.seal.Base, Count: inf.seal.Count, MaxTimestamp: inf.seal.MaxTimestamp,
			SealedAge: inf.seal.SealedAge, Tail: max(inf.seal.Tail, above),
			Doubtful: inf.found || inf.maybe > 0, Acked: inf.acked, Offset: inf.offset,
		}
	}
	return list
}
