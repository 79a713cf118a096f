package sender

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// lane is the sender's side of one topic.
type lane struct {
	id      spool.LaneID
	topic   string
	remote  *cluster.Topic // as the cluster has it
	end     spool.Index    // one above the last committed entry
	settled *spool.Set
	acc     *accumulator.Lane
	parts   []*partition // by number; those above the topic's count were asked for by number or are left over

	backlog  bool        // at a start: records of it are pending
	frontier spool.Index // at a start: one above the highest entry that was sealed
	facts    spool.Facts // at a start

	feedID  uint64 // of the Feed under way, or 0
	bytes   int    // asked for by it
	stalled uint64 // s.epoch at which the lane could take nothing more
	flushTo spool.Index
}

func (s *Sender) addRecoveredLane(r *spool.Lane) {
	l := &lane{id: r.ID, topic: r.Topic, remote: s.view.Follow(r.Topic, r.TopicID), end: r.End, settled: r.Settled.Clone(), facts: r.Facts}
	// Whatever was settled had been sealed.
	for sp := range l.settled.Spans {
		l.frontier = max(l.frontier, sp.End)
	}
	l.backlog = l.pending()
	l.remote.Pending = l.backlog
	s.lanes = append(s.lanes, l)
	s.byTopic[l.topic] = l
}

// pending reports whether anything of l has not left.
func (l *lane) pending() bool { return l.settled.Low() < l.end }

func (s *Sender) lane(id spool.LaneID) *lane {
	if int(id) < len(s.lanes) && s.lanes[id].id == id {
		return s.lanes[id] // ids are given without gaps
	}
	for _, l := range s.lanes {
		if l.id == id {
			return l
		}
	}
	panic(fmt.Sprintf("sender: lane %d was never announced", id))
}

// partition is partition n of l, made if need be.
func (s *Sender) partition(l *lane, n int32) *partition {
	for int32(len(l.parts)) <= n {
		p := &partition{lane: l, id: int32(len(l.parts)), mayAsk: true}
		p.ids = newIDs()
		if l.acc != nil {
			p.q = l.acc.Partition(p.id)
		}
		l.parts = append(l.parts, p)
	}
	return l.parts[n]
}

func (s *Sender) restorePartition(st *spool.PartitionState) {
	p := s.partition(s.lane(st.Lane), st.Partition)
	p.ids.Identity, p.ids.Next, p.ids.Settled = st.Identity, st.Next, st.Settled
	p.ids.LastOffset, p.ids.LastMaxTimestamp = st.LastOffset, st.LastMaxTimestamp
	if !planted.Is(planted.EpochForgotten) {
		p.lane.remote.RestoreEpoch(p.id, st.LeaderEpoch)
	}
	if st.LastOffset != protocol.NoOffset {
		p.tailBase = st.LastOffset + 1
	}
	if st.Park.Parked() {
		p.park, p.phase = st.Park, parked
	}
}

func (s *Sender) restoreSeal(seal *spool.Seal) {
	l := s.lane(seal.Lane)
	p := s.partition(l, seal.Partition)
	inf := &inflight{seal: *seal, durable: true, found: true, offset: protocol.NoOffset, stamp: -1}
	l.frontier = max(l.frontier, seal.Spans[len(seal.Spans)-1].End)
	s.ordinal = max(s.ordinal, seal.Ordinal)
	if seal.Refused != 0 {
		inf.code = seal.Refused
		p.limbo = append(p.limbo, inf)
	} else {
		p.window = append(p.window, inf)
	}
	s.activate(p)
}

// Committed takes what one spool commit made durable. The bytes of its sections are
// copied before it returns.
func (s *Sender) Committed(now spool.Time, c *spool.Committed) *Effects {
	s.begin(now)
	s.durable(c.Writes)
	for _, n := range c.Lanes {
		if s.byTopic[n.Topic] != nil {
			continue
		}
		l := &lane{id: n.ID, topic: n.Topic, remote: s.view.Follow(n.Topic, protocol.TopicID{}), settled: spool.NewSet(0)}
		l.acc = accumulator.NewLane(n.ID, n.Topic, 0, 0, spool.Facts{})
		s.lanes = append(s.lanes, l)
		s.byTopic[n.Topic] = l
		s.view.Want()
	}
	for i := range c.Sections {
		s.take(&c.Sections[i])
	}
	return s.end()
}

// take passes a committed section on, if its lane is live; else it waits on disk.
func (s *Sender) take(sec *spool.Section) {
	l := s.lane(sec.Lane)
	if len(sec.Spans) == 0 {
		return
	}
	first, end := sec.Spans[0].First, sec.Spans[len(sec.Spans)-1].End
	live := l.acc.Live() && l.feedID == 0 && l.end == first
	l.end = max(l.end, end)
	l.acc.End = l.end
	l.remote.Pending = l.pending()
	if !live || s.stop != nil {
		return
	}
	s.into(l, []spool.Section{*sec})
}

// into feeds sections to l and wakes the partitions that got something.
func (s *Sender) into(l *lane, sections []spool.Section) bool {
	all, err := l.acc.Feed(s.acc, s.now.Age, sections)
	l.acc.Touched(func(q *accumulator.Partition) {
		// One that the topic does not have (yet) has nothing to be done for it.
		if q.ID < l.acc.Partitions() {
			s.activate(s.partition(l, q.ID))
		}
	})
	if err != nil {
		s.stop = &DamageError{err}
		return false
	}
	if !all {
		l.stalled = s.epoch
	}
	return all
}

// feed asks for what lanes that are behind may take now.
func (s *Sender) feed() {
	if s.closing {
		return
	}
	chunk := min(max(s.cfg.BufferMemory/8, 256), 1<<20)
	starving := false
	for k := range s.lanes {
		l := s.lanes[(k+s.turn)%len(s.lanes)]
		if l.acc.Rewind() {
			l.feedID, s.feeding = 0, s.feeding-l.bytes // an answer under way begins in the wrong place
			l.bytes = 0
			l.stalled = 0
		}
		if l.acc.Partitions() == 0 || l.acc.Closed || l.feedID != 0 {
			continue
		}
		from := l.acc.Position()
		if from >= l.end {
			continue
		}
		if l.stalled != 0 && l.stalled == s.epoch {
			starving = true
			continue
		}
		if !s.acc.Room(s.feeding+chunk) && s.acc.Used()+s.feeding > 0 {
			starving = true
			continue
		}
		s.feedID++
		l.feedID, l.bytes = s.feedID, chunk
		s.feeding += chunk
		s.eff.Feed = append(s.eff.Feed, Feed{ID: s.feedID, Lane: l.id, From: from, Bytes: chunk})
	}
	if starving {
		s.makeRoom(chunk)
	}
}

// makeRoom gives up what partitions hold that cannot be written to anyway, if
// another one could use the room: one stuck topic stops nobody else.
func (s *Sender) makeRoom(chunk int) {
	if s.acc.Room(s.feeding+chunk) || !s.anyWritable() {
		return
	}
	freed := 0
	for _, l := range s.lanes {
		freed += l.acc.EvictBlocked(s.acc)
	}
	if freed > 0 {
		s.epoch++
		s.wake(s.now.Age + 1)
	}
}

func (s *Sender) anyWritable() bool {
	for _, l := range s.lanes {
		if l.acc.Position() < l.end && l.acc.Writable() {
			return true
		}
	}
	return false
}

// Fed takes the answer to a Feed.
func (s *Sender) Fed(now spool.Time, f *Fed) *Effects {
	s.begin(now)
	if p := s.builderOf(f.ID); p != nil {
		s.built(p, f)
		return s.end()
	}
	l := s.lane(f.Lane)
	if l.feedID != f.ID || s.stop != nil {
		return s.end() // the cursor went elsewhere meanwhile
	}
	l.feedID, s.feeding = 0, s.feeding-l.bytes
	l.bytes = 0
	if s.into(l, f.Sections) {
		l.acc.Skip(f.Next)
	}
	return s.end()
}

// leave notes that entries have left, by outcome.
func (s *Sender) leave(l *lane, spans []spool.Span, o spool.Outcome) {
	s.w.Settle = append(s.w.Settle, spool.Settlement{Lane: l.id, Spans: spans, Outcome: o})
	for _, sp := range spans {
		l.settled.Add(sp)
		l.acc.Take(sp)
	}
	l.acc.Prune(l.settled.Low())
	l.remote.Pending = l.pending()
	s.epoch++
}

// flushed ends a flush when all that it was for has left or cannot leave.
func (s *Sender) flushed() {
	if s.flushing {
		s.flushing = false
		for _, l := range s.lanes {
			if l.settled.Low() < l.flushTo {
				s.flushing = true
			}
		}
	}
	s.acc.Hurry = s.flushing
}
