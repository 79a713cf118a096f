package transaction

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// keyTopic is the topic that progress is committed on, and whether it was committed there before. One of the transaction's own
// topics is enough: Kafka wants READ on it, and not on the others.
func (s *runner) keyTopic(c *cut, o *online) (string, bool) {
	if s.carriesKey(s.byTopic[s.known.KeyTopic]) {
		return s.known.KeyTopic, true
	}
	for _, l := range c.lanes {
		if s.carriesKey(l) {
			return l.topic, false
		}
	}
	if o == nil {
		return "", false
	}
	for _, l := range o.lanes {
		if s.carriesKey(l) {
			return l.topic, false
		}
	}
	return o.lanes[0].topic, false
}

// carriesKey reports whether progress can be committed on a lane's topic, as far as is known.
func (s *runner) carriesKey(l *lane) bool {
	switch {
	case l == nil || l.remote.Code != protocol.None || l.remote.Count == 0 || l.remote.Recreated || s.now.Age < l.retryAt:
		return false
	case s.now.Age < l.noKeyTo:
		s.wake(l.noKeyTo)
		return false
	}
	return true
}

// progressRefused: the cluster commits no progress on a topic. Another topic of what is to be sent takes it; only if there is none does
// the topic wait, and with it the units that have records for it.
func (s *runner) progressRefused(l *lane, code protocol.ErrorCode, detail string) {
	l.noKeyTo = s.now.Age + blockedMs(&s.cfg)
	lanes := s.fill.lanes
	if len(s.queue) > 0 {
		lanes = slices.Concat(lanes, s.queue[0].lanes)
	}
	if !slices.ContainsFunc(lanes, s.carriesKey) {
		s.producer.block(l, code, detail)
	}
}

// blockedMs is how long what the cluster refused for want of a right is not tried again.
func blockedMs(c *Config) int64 { return max(c.RetryBackoffMaxMs, 5000) }
