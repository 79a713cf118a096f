package sender

import (
	"cmp"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/spool"
)

// feeds are what is read back from the spool: entries of lanes that are behind, and of sealed batches whose bytes were
// given up.
type feeds struct {
	parts
	feedID  uint64
	feeding int // bytes asked for and not here yet
	// Lanes that are behind, in turn, and those that could take nothing when Accumulator.Wakes was stalledAt.
	behind, stalled []*lane
	stalledAt       uint64
	extra           extra
	reads           map[uint64]*partition // by the Feed under way for a sealed batch, which may come to a batch
	starved         []*partition          // that wait for room to read a sealed batch back
	// nothingBefore is the Age before which no partition may give back the bytes of sealed batches; giveBackAt, if it is
	// not 0, that at which one may.
	nothingBefore, giveBackAt int64
	exhausted                 bool  // see exhaust
	exhaustedAt               int64 // Age since which it is, or was
}

// wantFeed puts l on the list of lanes that are behind, if it is not there.
func (fs *feeds) wantFeed(l *lane) {
	if !l.queued && fs.isBehind(l) {
		l.queued = true
		fs.behind = append(fs.behind, l)
	}
}

// isBehind reports whether there are entries to be read back for l, and none are on their way.
func (fs *feeds) isBehind(l *lane) bool {
	return l.acc.Partitions() > 0 && !l.acc.Closed && !l.sweeping && l.feedID == 0 && l.acc.Position() < l.acc.End
}

// cancelFeed forgets the Feed of l that is under way.
func (fs *feeds) cancelFeed(l *lane) {
	l.feedID, fs.feeding = 0, fs.feeding-l.bytes
	l.bytes = 0
}

// feed asks for what lanes that are behind may take now, in turn.
func (fs *feeds) feed() {
	if fs.closing {
		return
	}
	fs.acc.Rewinds(func(al *accumulator.Lane) {
		l := fs.lane(al.ID)
		fs.cancelFeed(l) // an answer under way begins in the wrong place
		l.stalled = 0
		fs.wantFeed(l)
	})
	chunk, short := min(max(fs.cfg.BufferMemory/8, 256), 1<<20), false
	defer func() { fs.exhaust(short) }()
	for fs.nextBehind() {
		l := fs.behind[0]
		switch {
		case !fs.isBehind(l):
			l.queued = false
		case l.stalled != 0 && l.stalled == fs.acc.Wakes():
			fs.stalled = append(fs.stalled, l)
		case !fs.acc.Room(fs.feeding+chunk) && fs.acc.Used()+fs.feeding > 0:
			short = true
			fs.makeRoom()
			return
		default:
			l.queued = false
			fs.feedID++
			l.feedID, l.bytes = fs.feedID, chunk
			fs.feeding += chunk
			fs.eff.Feed = append(fs.eff.Feed, Feed{ID: fs.feedID, Lane: l.id, From: l.acc.Position(), Bytes: chunk})
		}
		fs.behind[0] = nil
		fs.behind = fs.behind[1:]
	}
	if len(fs.stalled) > 0 { // there may be room for what is read, and none for the batch that it is to go into
		short = !fs.acc.Room(fs.feeding + fs.cfg.BatchSize)
		fs.makeRoom()
	}
}

// exhaustedEvery is how often at most all partitions are looked at because there is no room, in ms.
const exhaustedEvery = 10

// exhaust has batches that wait for company (linger.ms) go while there is no room for what would join them, as Kafka's producer does while
// somebody waits for its BufferPool.
func (fs *feeds) exhaust(short bool) {
	switch at := fs.exhaustedAt + exhaustedEvery; {
	case !short:
		fs.exhausted = false
	case fs.exhausted || fs.cfg.LingerMs <= exhaustedEvery: // they go as soon by themselves
	case fs.now.Age < at:
		fs.wake(at)
	default:
		fs.exhausted, fs.exhaustedAt, fs.all = true, fs.now.Age, true
		fs.wake(fs.now.Age + 1)
	}
}

// nextBehind reports whether there is a lane to look at. Those that could take nothing are looked at again once
// there may be room, or a way, that was not there before.
func (fs *feeds) nextBehind() bool {
	if len(fs.behind) == 0 && len(fs.stalled) > 0 && fs.stalledAt != fs.acc.Wakes() {
		fs.behind, fs.stalled, fs.stalledAt = fs.stalled, fs.behind[:0], fs.acc.Wakes()
	}
	return len(fs.behind) > 0
}

// makeRoom gives up what partitions hold that cannot be written to anyway, if
// another one could use the room: one stuck topic stops nobody else.
func (fs *feeds) makeRoom() {
	holds := fs.holdsBack()
	if fs.acc.Held() == 0 && !holds || !fs.anyWritable() {
		return
	}
	fs.giveUp()
}

// giveUp gives back what waits for partitions that cannot be written to, and the bytes of sealed batches of those
// that have waited for long. All of it is in the spool.
func (fs *feeds) giveUp() {
	before := fs.acc.Used()
	fs.acc.EvictBlocked()
	if fs.holdsBack() {
		for _, p := range fs.active {
			if p.GiveBack(fs.env(p)) && (p.dueAt == 0 || p.dueAt > fs.now.Age+1) {
				fs.setDue(p, fs.now.Age+1) // to have them read back: it may wait for nothing else that it is looked at for
			}
		}
	}
	if fs.acc.Used() < before {
		fs.acc.WakeLanes()
		fs.wake(fs.now.Age + 1)
	}
}

// holdsBack reports whether a partition that has waited for long holds the bytes of sealed batches. If one will have
// waited long enough later, it wakes the core then. After a look at all partitions that found none, they are not
// looked at again before one can have waited for so long.
func (fs *feeds) holdsBack() bool {
	any := false
	if fs.now.Age >= fs.nothingBefore {
		e := &fs.e
		before := e.WakeAt
		e.WakeAt = 0
		for _, p := range fs.active {
			any = p.MayGiveBack(fs.env(p)) || any
		}
		fs.giveBackAt, fs.nothingBefore, e.WakeAt = e.WakeAt, 0, before
		if !any {
			fs.nothingBefore = cmp.Or(fs.giveBackAt, fs.now.Age+max(fs.cfg.RetryBackoffMaxMs/2, 1))
		}
	}
	if fs.giveBackAt > fs.now.Age {
		fs.wake(fs.giveBackAt)
	}
	return any
}

// anyWritable reports whether a lane that is behind has a partition that can be written to.
func (fs *feeds) anyWritable() bool {
	for _, list := range [][]*lane{fs.behind, fs.stalled} {
		for _, l := range list {
			if l != nil && l.acc.Writable() && fs.isBehind(l) {
				return true
			}
		}
	}
	return false
}

// unqueue gives what l's queues hold back to the spool: it is read again, but for what is put aside.
func (fs *feeds) unqueue(l *lane) {
	l.acc.Reread(fs.acc)
	fs.cancelFeed(l)
	l.stalled = 0
	fs.acc.WakeLanes()
	fs.wantFeed(l)
}

// committedSection passes a committed section on, if its lane is live; else it waits on disk.
func (fs *feeds) committedSection(sec *spool.Section) {
	l := fs.lane(sec.Lane)
	if len(sec.Spans) == 0 {
		return
	}
	first, end := sec.Spans[0].First, sec.Spans[len(sec.Spans)-1].End
	if !l.acc.Pending() {
		l.since = fs.now.Age
	}
	live := l.acc.Live() && l.feedID == 0 && l.acc.End == first && !l.sweeping && sec.Bytes != nil
	l.acc.End = max(l.acc.End, end)
	fs.view.SetPending(l.remote, l.acc.Pending())
	if fs.stop != nil {
		return
	}
	if !live || !fs.into(l, []spool.Section{*sec}) {
		fs.wantFeed(l)
	}
}

// into feeds sections to l and wakes the partitions that got something.
func (fs *feeds) into(l *lane, sections []spool.Section) bool {
	all, err := l.acc.Feed(fs.acc, fs.now.Age, sections)
	l.acc.Touched(func(q *accumulator.Partition) {
		// One that the topic does not have (yet) has nothing to be done for it.
		if q.ID < l.acc.Partitions() {
			fs.activate(fs.partition(l, q.ID))
		}
	})
	if err != nil {
		fs.stop = &DamageError{err}
		return false
	}
	if !all {
		l.stalled = fs.acc.Wakes()
	}
	return all
}
