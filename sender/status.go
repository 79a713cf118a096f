package sender

import (
	"slices"
	"strings"

	"github.com/spoold/spoold/spool"
)

// Status is a copy of what is known now; it shares nothing with the sender.
func (s *Sender) Status(now spool.Time) Status {
	link := s.view.Link()
	st := Status{
		ClusterID: s.view.ID(), Producer: s.e.Identity,
		LinkUp: link.Up, LinkErr: link.Err, Foreign: link.Foreign, LinkSince: max(link.Since, 0),
		Brokers: s.view.Connected(), Retries: s.e.Retries,
	}
	for _, l := range s.lanes {
		st.Topics = append(st.Topics, s.topicStatus(l, now.Age))
	}
	slices.SortFunc(st.Topics, func(a, b TopicStatus) int { return strings.Compare(a.Topic, b.Topic) })
	return st
}

// Settled is the index of a lane below which all have left; 0 for a lane that was not announced yet.
func (s *Sender) Settled(id spool.LaneID) spool.Index {
	if int(id) >= len(s.lanes) {
		return 0
	}
	return s.lanes[id].acc.Settled()
}

// Buffered is how many bytes batches and what is being read back take: what buffer.memory bounds, but
// for one batch that is larger than all of it.
func (s *Sender) Buffered() int { return s.acc.Used() + s.feeds.feeding }
