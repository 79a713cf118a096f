package loop

import (
	"context"
	"time"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Snapshot is the state of everything at one moment. It never changes.
type Snapshot struct {
	Now   spool.Time
	Core  sender.Status
	Store bolt.Stats
	// Lanes by LaneID, of the same commit as Store. Core may be a commit ahead or behind: it may not have
	// the newest lanes yet.
	Lanes     []bolt.LaneStats
	Ages      []int64 // by LaneID: ms that its oldest pending record has waited, about; 0: none
	OldestAge int64   // the greatest of them
	Metadata  int64   // Age of the last Metadata answer; -1: none came
	InFlight  int     // requests that no answer has come to
	Tried     error   // why the bootstrap servers that were tried cannot be used, while the next one is dialled
}

// snapshotEvery is how old a snapshot may be while things change, ms: longer where
// there are so many topics that making one takes long.
const (
	snapshotEvery = 100
	snapshotShare = 50 // at most a fiftieth of the loop's time
)

// Snapshot is the newest one. It never blocks and is never nil once New has returned.
func (l *Loop) Snapshot() *Snapshot { return l.snapshot.Load() }

// Refresh has the loop publish a new snapshot and returns it; the newest one if ctx
// ends first or the loop has ended.
func (l *Loop) Refresh(ctx context.Context) *Snapshot {
	done := make(chan struct{})
	if l.inbox.post(func() { l.publish(); close(done) }) {
		select {
		case <-done:
		case <-ctx.Done():
		case <-l.over:
		}
	}
	return l.Snapshot()
}

func (l *Loop) publish() {
	began := time.Now()
	s := &Snapshot{Now: l.now, Core: l.core.Status(l.now)}
	s.Store, s.Lanes = l.store.Lanes()
	s.Metadata, s.Tried = l.links.metadata, l.links.tried
	s.InFlight, _ = l.links.outstanding()
	s.Ages, s.OldestAge = l.progress.ages(l.now.Age, s.Lanes)
	l.snapshot.Store(s)
	l.every = max(snapshotEvery, snapshotShare*time.Since(began).Milliseconds())
	l.published, l.changed = l.now.Age, false
	l.troubles.look(&s.Core, l.core, l.opt.Event)
}

// agedLanes bounds how many lanes are looked into at a start.
const agedLanes = 64

// ageBacklog marks what an earlier process spooled with the age of its first record.
func (l *Loop) ageBacklog() {
	looked := 0
	for id, lane := range l.progress.lanes {
		first := l.core.Settled(id)
		if first >= lane.end {
			continue
		}
		stamp := l.now.Wall
		if looked++; looked <= agedLanes {
			if at, ok := l.firstTimestamp(id, first); ok {
				stamp = at
			}
		}
		aged := func(before int64) spool.Index { return l.store.Aged(id, before) }
		lane.mark(l.now.Age - spool.Waited(l.now, first, aged, stamp))
	}
}

func (l *Loop) firstTimestamp(id spool.LaneID, from spool.Index) (int64, bool) {
	sections, _, _, err := l.store.Read(id, from, 1, nil)
	if err != nil || len(sections) == 0 || len(sections[0].Spans) == 0 {
		return 0, false // damage is found, and reported, when the record is read to be sent
	}
	at, found := int64(0), false
	_ = sections[0].Each(func(i spool.Index, e *spool.Entry) bool { // so is this damage
		at, found = e.Timestamp, i >= from
		return !found
	})
	return at, found
}
