package sender

import (
	"slices"

	"github.com/spoold/spoold/accumulator"
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

	counted   int32 // partitions, as they were reported last
	undecided bool  // the topic was recreated, and what becomes of the lane waits for what is on the wire

	unreadSince int64 // Age at which leaders were asked last that this principal may not ask about producers; see askAgain

	sweeping bool  // see Sweep: nothing is read back meanwhile
	since    int64 // Age since which something of it is pending
}

// unread reports whether a leader was asked about producers, and said that this principal may not read the topic.
func (l *lane) unread() bool {
	return slices.ContainsFunc(l.parts, func(p *partition) bool { return !p.MayAsk() })
}

// Recovered says that what was reported of a topic is over: should it come again, it is reported again.
func (s *Sender) Recovered(topic string) {
	if l := s.byTopic[topic]; l != nil {
		l.remote.Recovered()
	}
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
	s.start(now)
	s.durable(c.Writes)
	s.e.DeadFull = c.DeadFull
	for _, n := range c.Lanes {
		if s.byTopic[n.Topic] != nil {
			continue
		}
		s.addLane(n.ID, n.Topic, protocol.TopicID{}, accumulator.NewLane(n.ID, n.Topic, 0, 0, spool.Facts{}))
	}
	for i := range c.Sections {
		s.feeds.committedSection(&c.Sections[i])
	}
	return s.end()
}

// Fed takes the answer to a Feed.
func (s *Sender) Fed(now spool.Time, f *Fed) *Effects {
	s.start(now)
	if p := s.feeds.readingBack(f.ID); p != nil {
		p.question.feed = 0
		s.touch(p)
		p.TakeEntries(s.env(p), f.Sections, f.Next)
		s.collect(p)
		return s.end()
	}
	l := s.lane(f.Lane)
	if l.feedID != f.ID || s.stop != nil {
		return s.end() // the cursor went elsewhere meanwhile
	}
	l.feedID, s.feeds.feeding = 0, s.feeds.feeding-l.bytes
	l.bytes = 0
	if s.feeds.into(l, f.Sections) {
		l.acc.Skip(f.Next)
	}
	s.feeds.wantFeed(l)
	return s.end()
}
