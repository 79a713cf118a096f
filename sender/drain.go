package sender

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// advance takes one partition as far as it can go now.
func (s *Sender) advance(p *partition) {
	if p.phase == answers && p.onWire == 0 {
		s.judge(p)
	}
	if p.phase == parked || s.stop != nil {
		return
	}
	via, ok := s.way(p)
	if !ok {
		return
	}
	switch p.phase {
	case fresh:
		s.beginResolving(p, via)
	case ready:
		if via != p.via {
			s.rerouted(p, via)
		}
	}
	if p.phase == ready && p.limboReady && len(p.window) == 0 {
		p.phase = limbo
		s.block(p, true)
	}
	switch p.phase {
	case resolving:
		s.resolve(p, via)
	case limbo:
		s.limboStep(p, via)
	}
	if p.phase == ready {
		s.drain(p)
	}
}

// rerouted: leader, reign or connection is new, so the leader is asked first.
func (s *Sender) rerouted(p *partition, via cluster.Way) {
	if p.onWire > 0 {
		p.phase = answers // the old connection's answers come first
		s.block(p, true)
		return
	}
	s.beginResolving(p, via)
}

// drain seals what is ready, as much as may be unanswered.
func (s *Sender) drain(p *partition) {
	if s.closing {
		return
	}
	if s.now.Age < p.retryAt {
		s.wake(p.retryAt)
		return
	}
	s.block(p, false)
	for {
		b := p.q.Head()
		if b == nil {
			return
		}
		if ok, at := p.q.Ready(s.acc, s.now.Age); !ok {
			s.wake(at)
			return
		}
		if !s.clones.over && !planted.Is(planted.RollCallUnawaited) {
			p.detail = waitsForCloneCheck // not even as the former id: a raised epoch of it may be on disk, with nothing sent yet
			return
		}
		if len(p.window) == 0 && !s.moveOver(p) || !p.ids.Identity.Valid() {
			if s.identify.retryAt > s.now.Age {
				p.detail = s.identify.err
			}
			return
		}
		if p.limboReady {
			return // what is in limbo is decided first
		}
		if len(p.window) >= s.limit(p, b.MaxTimestamp, len(p.window) > 0, s.oldest(p, false)) {
			return
		}
		s.seal(p, p.q.Pop())
	}
}

// seal gives a batch its identity. Not a byte of it leaves before that is durable.
func (s *Sender) seal(p *partition, b *accumulator.Batch) {
	s.ordinal++
	b.Identity, b.TopicID, b.Ordinal = p.ids.Identity, p.lane.remote.Bound, s.ordinal
	b.Base = p.ids.Take(b.Count)
	tail := p.lowest()
	if planted.Is(planted.TailTooFar) {
		tail++
	}
	inf := &inflight{
		batch: b, offset: protocol.NoOffset, stamp: -1,
		seal: spool.Seal{
			SealKey:      spool.SealKey{Lane: b.Lane, Partition: b.Partition, Identity: b.Identity, Base: b.Base},
			Count:        b.Count,
			Spans:        b.Spans,
			TopicID:      b.TopicID,
			MaxTimestamp: b.MaxTimestamp,
			SealedAt:     s.now.Wall,
			SealedAge:    s.now.Age,
			Tail:         tail,
			Ordinal:      b.Ordinal,
		},
	}
	p.window = append(p.window, inf)
	s.sealing(p, inf)
}

// sealing has inf's seal written, and its bytes made meanwhile.
func (s *Sender) sealing(p *partition, inf *inflight) {
	s.w.Seals = append(s.w.Seals, inf.seal)
	s.sealed = append(s.sealed, inf)
	s.urgent = true
	s.mark(p)
	if inf.batch != nil {
		s.eff.Sealed = append(s.eff.Sealed, inf.batch)
	}
}

// limit is how many batches of p may be unanswered together with one whose largest
// timestamp is candidate.
func (s *Sender) limit(p *partition, candidate int64, unanswered bool, oldest int64) int {
	if planted.Is(planted.WideWindow) {
		return 8
	}
	m := idempotence.Margin{Wall: s.now.Wall, Ms: s.cfg.MarginMs}
	return min(p.ids.Limit(m, p.mayAsk && len(p.limbo) == 0, oldest, unanswered, candidate), s.cfg.MaxInFlight)
}

// oldest is the smallest of the largest timestamps in p's window; sent: only of those
// on the wire.
func (s *Sender) oldest(p *partition, sent bool) int64 {
	oldest := int64(1<<63 - 1)
	for _, inf := range p.window {
		if inf.sent || !sent {
			oldest = min(oldest, inf.seal.MaxTimestamp)
		}
	}
	return oldest
}

// nextToSend is the next batch of p to put on the wire, or nil.
func (s *Sender) nextToSend(p *partition) *inflight {
	if p.phase == resolving {
		if inf := p.resend; inf != nil && !inf.sent && inf.durable && inf.batch != nil {
			return inf
		}
		return nil
	}
	if p.phase != ready || s.now.Age < p.retryAt {
		return nil
	}
	for _, inf := range p.window {
		if inf.sent || inf.acked {
			continue
		}
		if !inf.durable && !planted.Is(planted.SendBeforeSeal) || inf.batch == nil {
			return nil
		}
		if p.onWire >= s.limit(p, inf.seal.MaxTimestamp, p.onWire > 0, s.oldest(p, true)) {
			return nil
		}
		return inf
	}
	return nil
}
