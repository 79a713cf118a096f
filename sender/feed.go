package sender

import "github.com/spoold/spoold/accumulator"

// wantFeed puts l on the list of lanes that are behind, if it is not there.
func (s *Sender) wantFeed(l *lane) {
	if !l.queued && s.isBehind(l) {
		l.queued = true
		s.behind = append(s.behind, l)
	}
}

// isBehind reports whether there are entries to be read back for l, and none are on their way.
func (s *Sender) isBehind(l *lane) bool {
	return l.acc.Partitions() > 0 && !l.acc.Closed && !l.sweeping && l.feedID == 0 && l.acc.Position() < l.acc.End
}

// cancelFeed forgets the Feed of l that is under way.
func (s *Sender) cancelFeed(l *lane) {
	l.feedID, s.feeding = 0, s.feeding-l.bytes
	l.bytes = 0
}

// feed asks for what lanes that are behind may take now, in turn.
func (s *Sender) feed() {
	if s.closing {
		return
	}
	s.acc.Rewinds(func(al *accumulator.Lane) {
		l := s.lane(al.ID)
		s.cancelFeed(l) // an answer under way begins in the wrong place
		l.stalled = 0
		s.wantFeed(l)
	})
	chunk := min(max(s.cfg.BufferMemory/8, 256), 1<<20)
	for s.nextBehind() {
		l := s.behind[0]
		switch {
		case !s.isBehind(l):
			l.queued = false
		case l.stalled != 0 && l.stalled == s.acc.Wakes():
			s.stalled = append(s.stalled, l)
		case !s.acc.Room(s.feeding+chunk) && s.acc.Used()+s.feeding > 0:
			s.makeRoom(chunk)
			return
		default:
			l.queued = false
			s.feedID++
			l.feedID, l.bytes = s.feedID, chunk
			s.feeding += chunk
			s.eff.Feed = append(s.eff.Feed, Feed{ID: s.feedID, Lane: l.id, From: l.acc.Position(), Bytes: chunk})
		}
		s.behind[0] = nil
		s.behind = s.behind[1:]
	}
	if len(s.stalled) > 0 {
		s.makeRoom(chunk)
	}
}

// nextBehind reports whether there is a lane to look at. Those that could take nothing are looked at again once
// there may be room, or a way, that was not there before.
func (s *Sender) nextBehind() bool {
	if len(s.behind) == 0 && len(s.stalled) > 0 && s.stalledAt != s.acc.Wakes() {
		s.behind, s.stalled, s.stalledAt = s.stalled, s.behind[:0], s.acc.Wakes()
	}
	return len(s.behind) > 0
}

// makeRoom gives up what partitions hold that cannot be written to anyway, if
// another one could use the room: one stuck topic stops nobody else.
func (s *Sender) makeRoom(chunk int) {
	if s.acc.Room(s.feeding + chunk) {
		return
	}
	holds := s.holdsBack()
	if s.acc.Held() == 0 && !holds || !s.anyWritable() {
		return
	}
	s.giveUp()
}

// giveUp gives back what waits for partitions that cannot be written to, and the bytes of sealed batches of those
// that have waited for long. All of it is in the spool.
func (s *Sender) giveUp() {
	before := s.acc.Used()
	if s.acc.Held() > 0 {
		for _, l := range s.lanes {
			l.acc.EvictBlocked(s.acc)
		}
	}
	for _, p := range s.active {
		p.GiveBack(s.env(p))
	}
	if s.acc.Used() < before {
		s.acc.WakeLanes()
		s.wake(s.now.Age + 1)
	}
}

// holdsBack reports whether a partition that has waited for long holds the bytes of sealed batches. If one will have
// waited long enough later, it wakes the core then.
func (s *Sender) holdsBack() bool {
	any := false
	for _, p := range s.active {
		any = p.MayGiveBack(s.env(p)) || any
	}
	return any
}

// anyWritable reports whether a lane that is behind has a partition that can be written to.
func (s *Sender) anyWritable() bool {
	for _, list := range [][]*lane{s.behind, s.stalled} {
		for _, l := range list {
			if l != nil && l.acc.Writable() && s.isBehind(l) {
				return true
			}
		}
	}
	return false
}
