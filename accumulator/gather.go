package accumulator

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// What follows makes batches without a Lane: for whoever takes entries strictly in the order of the
// spool, and keeps its own queues.

// Target is where entries of one partition are gathered.
type Target struct {
	Lane      spool.LaneID
	Topic     string
	TopicID   protocol.TopicID
	Partition int32
	Hint      int // size that the last batch came to; 0: not known
	Sizing    *Sizing
}

// NewBatch begins a transactional batch with one entry. It returns nil if the budget has no room for it.
func (a *Accumulator) NewBatch(t Target, now int64, i spool.Index, e *spool.Entry) *Batch {
	size := len(e.Body) + spool.RecordHead
	buf, ok := a.buffer(size, t.Hint, t.Sizing.batchSize(a))
	if !ok {
		return nil
	}
	b := &Batch{
		Lane: t.Lane, Topic: t.Topic, TopicID: t.TopicID, Partition: t.Partition,
		Transactional: true, sizing: t.Sizing, created: now, Buf: buf,
	}
	b.add(i, e.Timestamp, e.Body)
	return b
}

// Fits reports whether b takes one more entry.
func (a *Accumulator) Fits(b *Batch, e *spool.Entry) bool {
	return !b.full && len(b.Buf)+len(e.Body)+spool.RecordHead <= b.sizing.batchSize(a)
}

// Join appends an entry that fits. It reports false if the budget has no room, and then changes nothing.
func (a *Accumulator) Join(b *Batch, i spool.Index, e *spool.Entry) bool {
	if !a.grow(b, len(e.Body)+spool.RecordHead) {
		return false
	}
	b.add(i, e.Timestamp, e.Body)
	return true
}

// Finish has b take nothing more.
func (b *Batch) Finish() { b.full = true }

// ReadyAt is the Age from which b need not wait for company any more; 0: it need not now.
func (a *Accumulator) ReadyAt(b *Batch) int64 {
	if a.Hurry || b.full {
		return 0
	}
	return b.created + a.cfg.LingerMs
}
