package sender

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// lane is the sender's side of one topic.
type lane struct {
	id     spool.LaneID
	topic  string
	remote *cluster.Topic    // as the cluster has it
	acc    *accumulator.Lane // as the spool has it
	parts  []*partition      // by number; those above the topic's count were asked for by number or are left over

	backlog bool // at a start: records of it are pending

	feedID   uint64 // of the Feed under way, or 0
	bytes    int    // asked for by it
	stalled  uint64 // Accumulator.Wakes when the lane could take nothing more; 0: it could
	queued   bool   // in Sender.behind or Sender.stalled
	flushTo  spool.Index
	flushing bool // not all below flushTo has left

	undecided bool // the topic was recreated, and what becomes of the lane waits for what is on the wire

	sweeping bool  // see Sweep: nothing is read back meanwhile
	since    int64 // Age since which something of it is pending
}

func (s *Sender) addLane(id spool.LaneID, topic string, bound protocol.TopicID, acc *accumulator.Lane) *lane {
	l := &lane{id: id, topic: topic, remote: s.view.Follow(topic, bound), acc: acc}
	s.lanes = append(s.lanes, l)
	s.byTopic[topic] = l
	return l
}

func (s *Sender) restoreLane(r *spool.Lane) {
	acc := accumulator.NewLane(r.ID, r.Topic, r.End, 0, r.Facts)
	acc.RestoreSettled(r.Settled)
	l := s.addLane(r.ID, r.Topic, r.TopicID, acc)
	l.backlog = acc.Pending()
	s.view.SetPending(l.remote, l.backlog)
}

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
		l.parts = append(l.parts, &partition{lane: l, Machine: idempotence.New(l.acc, int32(len(l.parts)))})
	}
	return l.parts[n]
}

func (s *Sender) restorePartition(st *spool.PartitionState) {
	p := s.partition(s.lane(st.Lane), st.Partition)
	p.Restore(st)
	p.lane.remote.RestoreEpoch(p.ID, st.LeaderEpoch)
}

func (s *Sender) restoreSeal(seal *spool.Seal) {
	l := s.lane(seal.Lane)
	p := s.partition(l, seal.Partition)
	p.RestoreSeal(seal)
	l.acc.RestoreSealed(seal.Spans)
	s.e.Ordinal = max(s.e.Ordinal, seal.Ordinal)
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
		s.addLane(n.ID, n.Topic, protocol.TopicID{}, accumulator.NewLane(n.ID, n.Topic, 0, 0, spool.Facts{}))
		s.view.Want()
	}
	for i := range c.Sections {
		s.committedSection(&c.Sections[i])
	}
	return s.end()
}

// committedSection passes a committed section on, if its lane is live; else it waits on disk.
func (s *Sender) committedSection(sec *spool.Section) {
	l := s.lane(sec.Lane)
	if len(sec.Spans) == 0 {
		return
	}
	first, end := sec.Spans[0].First, sec.Spans[len(sec.Spans)-1].End
	if !l.acc.Pending() {
		l.since = s.now.Age
	}
	live := l.acc.Live() && l.feedID == 0 && l.acc.End == first && !l.sweeping
	l.acc.End = max(l.acc.End, end)
	s.view.SetPending(l.remote, l.acc.Pending())
	if s.stop != nil {
		return
	}
	if !live || !s.into(l, []spool.Section{*sec}) {
		s.wantFeed(l)
	}
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
		l.stalled = s.acc.Wakes()
	}
	return all
}

// Fed takes the answer to a Feed.
func (s *Sender) Fed(now spool.Time, f *Fed) *Effects {
	s.begin(now)
	if p := s.readingBack(f.ID); p != nil {
		p.question.feed = 0
		p.TakeEntries(s.env(p), f.Sections, f.Next)
		s.took(p)
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
	s.wantFeed(l)
	return s.end()
}
