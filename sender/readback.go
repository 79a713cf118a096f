package sender

import (
	"github.com/spoold/spoold/idempotence"
)

// extra is the one batch that may be read back although there is no room for it.
type extra struct {
	p     *partition
	batch *idempotence.Sealed
}

// readBack reads a sealed batch's entries back from the spool.
func (fs *feeds) readBack(p *partition, want *idempotence.Want) {
	q := p.open()
	if q.batch != want.Batch {
		q.batch, q.feed = want.Batch, 0
	}
	if q.feed != 0 || !fs.mayReadBack(p, want.Batch) {
		return
	}
	fs.feedID++
	q.feed = fs.feedID
	fs.reads[fs.feedID] = struct{}{}
	fs.eff.Feed = append(fs.eff.Feed, Feed{ID: fs.feedID, Lane: p.lane.id, From: want.Index, Bytes: 1 << 20})
}

// mayReadBack reports whether there is room for the bytes of b. One batch at a time may always be read back.
func (fs *feeds) mayReadBack(p *partition, b *idempotence.Sealed) bool {
	room := func() bool { return fs.acc.Room(fs.feeding + (len(fs.reads)+1)*fs.cfg.BatchSize) }
	if room() || fs.extra.batch == b {
		return true
	}
	fs.giveUp()
	if x := fs.extra; room() {
		return true
	} else if x.batch != nil && (x.batch.Batch != nil || x.p.open().batch == x.batch && x.p.question.feed != 0) {
		return false
	}
	fs.extra = extra{p, b}
	return true
}

// readingBack is the partition that a Feed was asked for, or nil.
func (fs *feeds) readingBack(feedID uint64) *partition {
	for _, p := range fs.active {
		if p.open().feed == feedID {
			return p
		}
	}
	return nil
}
