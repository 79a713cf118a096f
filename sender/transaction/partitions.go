package transaction

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// partition is one partition of a lane's topic.
type partition struct {
	lane  *lane
	id    int32
	queue []*flight // batches that are not acknowledged, in order
	open  *flight   // the last of queue, if it takes more; else nil
	hint  int       // size of the last batch

	identity protocol.ProducerIdentity // that next counts under
	next     protocol.Sequence
	known    bool // something was acknowledged under identity

	onWire   int
	muted    bool // an error came: nothing is sent until all on the wire is answered
	retryAt  int64
	attempts int
	detail   string
	offset   int64 // of the last record that was acknowledged, in any transaction; -1: none was

	mark  place // of what was written before the transaction at hand
	added *cut  // the last that the coordinator may know it to be in
}

// flight is one batch.
type flight struct {
	batch  *accumulator.Batch
	part   *partition
	cut    *cut
	sent   bool // a copy is on the wire
	copies int
	code   protocol.ErrorCode // of the last answer that was a failure
	dead   bool               // given up: only its memory waits for the answer
}

func (l *lane) partition(n int32) *partition {
	for int32(len(l.parts)) <= n {
		p := &partition{lane: l, id: int32(len(l.parts)), identity: protocol.NoIdentity, offset: -1}
		p.mark = place{part: p, first: -1}
		l.parts = append(l.parts, p)
	}
	return l.parts[n]
}

func (p *partition) tp() protocol.TopicPartition {
	return protocol.TopicPartition{Topic: p.lane.topic, Partition: p.id}
}

// nextToSend is the batch that may go on the wire now, or nil.
func (s *producer) nextToSend(p *partition) *flight {
	if p.muted && p.onWire == 0 {
		p.muted = false
	}
	if p.muted {
		return nil
	}
	if s.now.Age < p.retryAt {
		s.wake(p.retryAt)
		return nil
	}
	limit := s.cfg.MaxInFlight
	if s.m.Version() < 2 && !(p.known && p.identity == s.m.Identity()) {
		limit = 1 // the leader takes any sequence as the first: the second of two could become it
	}
	for _, f := range p.queue {
		switch {
		case f.sent:
			continue
		case f.cut != s.sending || p.onWire >= limit:
			return nil
		}
		if at := s.acc.ReadyAt(f.batch); p.open == f && at > s.now.Age && !f.cut.closed {
			s.wake(at)
			return nil
		}
		if p.mark.sight != seen {
			if !p.mark.listed {
				s.markers.wantTopic(p.lane)
			}
			if p.mark.sight != seen {
				return nil
			}
		}
		if p.added != f.cut {
			p.added, p.mark.topicID = f.cut, p.lane.remote.Bound
			f.cut.touched = append(f.cut.touched, p)
		}
		if !s.m.Add(p.tp()) {
			return nil
		}
		if p.open == f {
			f.batch.Finish()
			p.open = nil
		}
		return f
	}
	return nil
}

// identify gives a batch its place in the transaction's stream to its partition. A copy keeps it.
func (s *producer) identify(p *partition, f *flight) {
	if f.copies > 0 {
		return
	}
	if id := s.m.Identity(); p.identity != id {
		p.identity, p.next, p.known = id, 0, false
	}
	f.batch.Identity, f.batch.Base = p.identity, p.next
	p.next = p.next.Next(int(f.batch.Count))
	p.hint = len(f.batch.Buf)
}

// choose is the partitioner: explicit, by key, or the same one until its
// batch is full.
func (s *reader) choose(l *lane, i spool.Index, e *spool.Entry) int32 {
	count := l.remote.Count
	switch {
	case e.Partition >= 0:
		return e.Partition
	case !s.cfg.Partitioner.Sticks(e.Key, e.HasKey):
		return s.cfg.Partitioner.Choose(e.Key, uint64(i), count)
	}
	if l.sticky >= count {
		l.sticky = 0
	}
	if p := l.partition(l.sticky); p.open != nil && !s.acc.Fits(p.open.batch, e) || p.open == nil && p.hint > 0 && len(p.queue) > 0 {
		l.sticky = s.nextSticky(l, count)
	}
	return l.sticky
}

// nextSticky is the next partition of records without a key.
func (s *Sender) nextSticky(l *lane, count int32) int32 {
	n, _ := s.acc.Pick(count, func(n int32) int { return len(l.partition(n).queue) })
	return n
}
