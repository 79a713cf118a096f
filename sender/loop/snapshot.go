package loop

import (
	"context"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Snapshot is the state of everything at one moment. It never changes.
type Snapshot struct {
	Now   spool.Time
	Core  sender.Status
	Store bolt.Stats
}

// snapshotEvery is how old a snapshot may be while things change, ms.
const snapshotEvery = 100

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
	l.snapshot.Store(&Snapshot{Now: l.now, Core: l.core.Status(l.now), Store: l.store.Stats()})
	l.published, l.changed = l.now.Age, false
}
