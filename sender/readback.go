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
	if q.feed != 0 {
		return
	}
	if !fs.mayReadBack(p, want.Batch) {
		if !p.starved {
			p.starved = true
			fs.starved = append(fs.starved, p)
		}
		if fs.nothingBefore > fs.now.Age {
			fs.wake(fs.nothingBefore) // there may be room then
		}
		return
	}
	fs.feedID++
	q.feed = fs.feedID
	fs.reads[q.feed] = p
	fs.eff.Feed = append(fs.eff.Feed, Feed{ID: fs.feedID, Lane: p.lane.id, From: want.Index, Bytes: 1 << 20})
}

// mayReadBack reports whether there is room for the bytes of b. One batch at a time may always be read back.
func (fs *feeds) mayReadBack(p *partition, b *idempotence.Sealed) bool {
	if fs.roomForBatch() || fs.extra.batch == b {
		return true
	}
	fs.giveUp()
	if !fs.roomForBatch() {
		if fs.extraTaken() {
			return false
		}
		fs.extra = extra{p, b}
	}
	return true
}

// roomForBatch reports whether there is room for one more batch, besides those that are being read back.
func (fs *feeds) roomForBatch() bool {
	return fs.acc.Room(fs.feeding + (len(fs.reads)+1)*fs.cfg.BatchSize)
}

// extraTaken reports whether the one batch that needs no room is in memory, or on its way there.
func (fs *feeds) extraTaken() bool {
	x := fs.extra
	return x.batch != nil && (x.batch.Batch != nil || x.p.open().batch == x.batch && x.p.question.feed != 0)
}

// touchStarved has partitions looked at that wait for room, if there may be some.
func (fs *feeds) touchStarved() {
	if len(fs.starved) == 0 {
		return
	}
	if !fs.roomForBatch() && fs.extraTaken() && fs.now.Age < fs.nothingBefore {
		fs.wake(fs.nothingBefore)
		return
	}
	for _, p := range fs.starved {
		p.starved = false
		fs.touch(p)
	}
	clear(fs.starved)
	fs.starved = fs.starved[:0]
}

// readingBack is the partition that a Feed was asked for, or nil.
func (fs *feeds) readingBack(feedID uint64) *partition {
	p := fs.reads[feedID]
	if p == nil {
		return nil
	}
	delete(fs.reads, feedID)
	if p.open().feed != feedID {
		return nil
	}
	return p
}
