package transaction

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// healing is a transaction that carries nothing: it has markers written where they are missing.
type healing struct {
	places    []*place
	commit    bool
	announced bool // its places are known to the machine
}

const healMaxMs = 10_000 // between two tries

// heal begins a transaction that writes missing markers, if there are any, and reports whether nothing else is to begin now. What
// was committed and what was aborted takes one each. With commit, the decision is durable before the coordinator knows of any
// place: if this process ends, the next one commits it, and never aborts it.
func (s *markers) heal() bool {
	s.passOver()
	if len(s.lost) == 0 {
		return false
	}
	if s.now.Age < s.healAt {
		s.wake(s.healAt)
		return false
	}
	s.m.Finalized(s.starter.version)
	if !s.m.Begin() {
		return true // the id is initialised first
	}
	h := &healing{commit: s.lost[0].of != nil}
	rest := s.lost[:0]
	for _, x := range s.lost {
		if (x.of != nil) == h.commit {
			h.places = append(h.places, x)
		} else {
			rest = append(rest, x)
		}
	}
	s.lost = rest
	c := newCut()
	c.fix()
	c.healing, c.ordinal = h, s.known.Decision.Ordinal
	c.beganAt, c.lasts = s.now.Age, s.runner.timeoutMs()
	s.sending = c
	s.sayLost(h)
	if !h.commit {
		s.announce(c)
		return true
	}
	h.locate(s)
	c.ordinal++
	s.known.Decision = spool.Decision{Ordinal: c.ordinal, Identity: s.m.Identity(), EndVersion: s.m.EndVersion(), DecidedAt: s.now.Wall}
	s.put()
	s.starter.begun.deciding = true
	m := s.m
	s.then = append(s.then, func() {
		s.starter.begun.deciding = false
		if s.m == m && s.sending == c {
			s.announce(c)
		}
	})
	return true
}

// sayLost says once for all of them what is missing, and writes it down.
func (s *markers) sayLost(h *healing) {
	what := "of what was aborted"
	if h.commit {
		what = fmt.Sprintf("of transaction %d, which was committed,", h.places[0].of.d.Ordinal)
	}
	missing := slices.DeleteFunc(slices.Clone(h.places), func(x *place) bool { return x.unshown })
	if len(missing) == 0 {
		return
	}
	where := make([]string, 0, 4)
	for _, x := range missing[:min(len(missing), 3)] {
		where = append(where, x.String())
	}
	if more := len(missing) - len(where); more > 0 {
		where = append(where, fmt.Sprintf("%d more", more))
	}
	why := fmt.Sprintf("the broker has lost the markers %s in %s: a transaction that carries nothing writes them", what, strings.Join(where, ", "))
	s.audit("%s", why)
	s.event(sender.TransactionTrouble{ID: s.cfg.ID, Message: why})
}

func (s *markers) announce(c *cut) {
	c.healing.announced = true
	for _, x := range c.healing.places {
		if x.part == nil {
			s.m.AnnounceGroup(x.group)
		} else {
			s.m.Announce(x.part.tp())
		}
	}
}

// openHealing ends the transaction once the coordinator knows of all of its places.
func (s *runner) openHealing(c *cut) {
	switch {
	case !c.healing.announced:
	case !s.m.Settled():
		if slices.ContainsFunc(c.healing.places, s.markers.gone) {
			s.fail(c, protocol.UnknownTopicOrPartition, "a topic is gone in which a marker was missing")
		} else if _, code, _ := s.m.Err(); code == protocol.UnknownTopicOrPartition {
			s.view.Refresh()
		}
	case c.healing.commit:
		s.ending, s.sending = c, nil
		s.m.Commit()
	default:
		s.m.Abort()
	}
}

// looked has the places of a healing transaction looked at again. ended: it ended as it was to.
func (s *markers) looked(h *healing, ended bool) {
	for _, x := range h.places {
		x.sight = unseen
		x.heals++
		x.doubt = x.doubt || h.commit && !ended
		if x.part != nil {
			x.part.lane.lost--
		}
		s.healAt = max(s.healAt, s.now.Age+min(s.backoff.After(x.heals), healMaxMs))
		s.want(x)
	}
	s.reader.release(noTopic)
}

// anew reports whether the topic of a place was created anew: what is there now is another topic's.
func (s *markers) anew(x *place) bool {
	t := x.part.lane.remote
	return !x.topicID.IsZero() && !t.Bound.IsZero() && x.topicID != t.Bound
}

// gone reports whether a place went with its topic, and with it whatever was open there: the topic was deleted, or it was created
// anew with fewer partitions.
func (s *markers) gone(x *place) bool {
	if x.part == nil {
		return false
	}
	t := x.part.lane.remote
	known := t.Code == protocol.None && t.Count > 0 && !t.Recreated && !t.Uncertain()
	return s.view.Absent(t) || known && x.part.id >= t.Count && s.anew(x)
}

// passOver forgets markers that are missing in places that are gone: a transaction cannot be in any of them.
func (s *markers) passOver() {
	s.lost = slices.DeleteFunc(s.lost, func(x *place) bool {
		if !s.gone(x) {
			return false
		}
		x.part.lane.lost--
		x.sight, x.heals = unseen, 0
		s.see(x)
		s.reader.release(noTopic)
		return true
	})
}
