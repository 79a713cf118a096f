package sender

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// building is a sealed batch whose bytes are being read back.
type building struct {
	inf    *inflight
	b      *accumulator.Builder
	feedID uint64 // under way, or 0
}

// beginResolving asks the leader before anything (more) is sent to p.
func (s *Sender) beginResolving(p *partition, via cluster.Way) {
	p.phase, p.via = resolving, via
	p.resend, p.build, p.asking, p.tail, p.wantAsk = nil, nil, nil, nil, false
	p.resolver = s.newResolver(p)
	if len(p.window) > 0 {
		s.block(p, true)
	}
}

func (s *Sender) newResolver(p *partition) *recovery.Resolver {
	id := p.ids.Identity
	if !id.Valid() {
		id = s.former // never used here: then nobody else may have used it either
	}
	return recovery.New(recovery.Facts{
		Identity: id, Next: p.ids.Next, Settled: p.ids.Settled,
		LastMaxTimestamp: p.ids.LastMaxTimestamp, MarginMs: s.cfg.MarginMs,
	}, p.resolverBatches())
}

// resolve carries out what the resolver of p wants next.
func (s *Sender) resolve(p *partition, via cluster.Way) {
	if p.onWire > 0 {
		return // one copy at a time
	}
	if via != p.via {
		p.via = via
		p.resend, p.build, p.asking, p.tail, p.wantAsk = nil, nil, nil, nil, false
		p.resolver.Interrupted()
	}
	for p.phase == resolving && s.stop == nil {
		step := p.resolver.Next(s.now)
		switch step.Do {
		case recovery.Ask:
			s.stepAsk(p)
			return
		case recovery.ReadTail:
			s.readTail(p, step.From, step.To)
			return
		case recovery.Resend:
			s.stepResend(p, p.window[step.Index])
			return
		case recovery.Settle:
			for k, inf := range p.window[:step.Count] {
				if inf.acked && step.Offsets[k] == protocol.NoOffset {
					step.Offsets[k] = inf.offset
				}
			}
			if s.noRoom(p, &step) {
				return
			}
			for _, offset := range step.Offsets[:step.Count] {
				s.settle(p, offset, step.How)
			}
		case recovery.Pause:
			if p.retryAt <= s.now.Age && !p.pausing {
				p.pausing = true
				s.trouble(p, p.detail)
			}
			if s.now.Age < p.retryAt {
				s.wake(p.retryAt)
				return
			}
			p.pausing = false
			p.resolver.Paused()
		case recovery.Park:
			if !s.confirmed(p) {
				return
			}
			s.parkPartition(p, step.Reason, step.Detail)
		case recovery.Stop:
			s.stopForGood(p, step.Detail)
		case recovery.Hole:
			p.ids.Known = step.Known && p.ids.Settled != protocol.NoSequence
			s.refused(p, step.Final)
		case recovery.Done:
			p.ids.Known = step.Known && p.ids.Settled != protocol.NoSequence
			p.phase, p.resolver, p.check = ready, nil, cluster.LeaderCheck{}
			if len(p.window) == 0 {
				p.attempts, p.detail = 0, ""
			}
		}
	}
}

// noRoom parks p if earlier batches would be settled for the ack of a later one that leaves no room for them in the log: it is not
// the log that they were sent to, or its broker has forgotten the producer, and took a batch that arrived late for its first
// one, whatever its sequence. (Where Produce goes by name, a topic that was created anew does so, too.)
func (s *Sender) noRoom(p *partition, step *recovery.Step) bool {
	if step.How != "answer" {
		return false
	}
	room := p.lowest()
	for k, offset := range step.Offsets[:step.Count] {
		switch {
		case k == 0 || offset == protocol.NoOffset || offset >= room:
		case p.wentBack(offset, step.How):
			s.parkLower(p, offset, p.ids.LastOffset)
			return true
		default:
			s.parkPartition(p, spool.ParkStateForgotten, fmt.Sprintf(
				"a batch was acked at offset %d, and those before it would end at %d: the leader has forgotten them", offset, room))
			return true
		}
		room += protocol.Offset(p.window[k].seal.Count)
	}
	return false
}

func (s *Sender) stepAsk(p *partition) {
	if s.now.Age < p.retryAt {
		s.wake(p.retryAt)
		return
	}
	if s.view.Generation() < p.needMeta {
		s.view.Want() // the topic may have been recreated, or have moved
		return
	}
	p.wantAsk = p.asking == nil
}

// stepResend puts one batch on the wire again, under its own identity.
func (s *Sender) stepResend(p *partition, inf *inflight) {
	if inf.batch == nil {
		s.rebuild(p, inf)
		return
	}
	if p.resend != inf {
		p.resend = inf
		if inf.copies > 0 || inf.found {
			s.retries++
		}
		s.event(BatchRetried{Topic: p.lane.topic, Partition: p.id, Code: inf.code})
	}
}

// rebuild reads a sealed batch's entries back from the spool.
func (s *Sender) rebuild(p *partition, inf *inflight) {
	if p.build == nil || p.build.inf != inf {
		p.build = &building{inf: inf, b: accumulator.NewBuilder(p.lane.topic, &inf.seal)}
	}
	if p.build.feedID == 0 {
		s.feedID++
		p.build.feedID = s.feedID
		s.eff.Feed = append(s.eff.Feed, Feed{ID: s.feedID, Lane: p.lane.id, From: p.build.b.Next(), Bytes: 1 << 20})
	}
}

func (s *Sender) builderOf(feedID uint64) *partition {
	for _, p := range s.active {
		if p.build != nil && p.build.feedID == feedID {
			return p
		}
	}
	return nil
}

// built takes entries for a batch that is being read back.
func (s *Sender) built(p *partition, f *Fed) {
	bu := p.build
	bu.feedID = 0
	whole, err := bu.b.Feed(&bu.inf.seal, f.Sections, f.Next)
	if err != nil {
		s.stop = &DamageError{err}
		return
	}
	if whole {
		bu.inf.batch, p.build = bu.b.Batch, nil
		s.acc.Adopt(bu.inf.batch)
	}
}

// parkPartition has p wait for an operator, durably.
func (s *Sender) parkPartition(p *partition, reason, detail string) {
	p.phase = parked
	p.park = spool.Park{Reason: reason, Detail: detail, At: s.now.Wall}
	p.resolver, p.resend, p.build, p.asking, p.tail, p.wantAsk = nil, nil, nil, nil, nil, false
	p.check = cluster.LeaderCheck{}
	s.block(p, true)
	s.mark(p)
	s.urgent = true
	for _, inf := range p.window {
		s.recycle(inf)
	}
	s.event(PartitionParked{Topic: p.lane.topic, Partition: p.id, Park: p.park, InDoubt: p.inDoubt()})
}

// inDoubt is how many records nobody knows the fate of.
func (p *partition) inDoubt() int {
	n := 0
	for _, inf := range p.window {
		n += int(inf.seal.Count)
	}
	for _, inf := range p.limbo {
		n += int(inf.seal.Count)
	}
	return n
}

// stopForGood records that somebody else used this spool's identity (P11).
func (s *Sender) stopForGood(p *partition, detail string) {
	reason := p.lane.topic + "-" + itoa(p.id) + ": " + detail
	s.w.Stop, s.urgent = reason, true
	s.stop = &StoppedError{Reason: reason}
}
