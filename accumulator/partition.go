package accumulator

import (
	"github.com/spoold/spoold/spool"
)

// Partition is one partition's queue of batches that are not sealed yet.
type Partition struct {
	ID   int32
	lane *Lane
	// queue[0] is the oldest; only the last one takes records.
	queue  []*Batch
	queued int // bytes in queue
	hint   int // size of the last batch that was popped

	// Blocked: nothing can be sealed for it now (no leader, parked, in doubt…). Set
	// with Lane.Block. Its queue may be given up for others.
	blocked bool
	// passed: entries from passedFrom on were left in the spool, so it takes
	// nothing until the cursor has come back there.
	passed     bool
	passedFrom spool.Index
	touched    bool // in Lane.touched
	returning  bool // passed, and the cursor stands at or below passedFrom

	broker int32 // its leader, see Accumulator.Led
	waits  bool  // its head is ready and was not taken
}

// touch notes that something happened to the partition: see Lane.Touched.
func (p *Partition) touch() {
	if !p.touched {
		p.touched = true
		p.lane.touched = append(p.lane.touched, p)
	}
}

// passOver notes that the entry at i waits in the spool.
func (p *Partition) passOver(a *Accumulator, i spool.Index) {
	if !p.passed || i < p.passedFrom {
		p.passedFrom = i
	}
	p.passed, p.returning = true, false
	if !p.blocked {
		p.lane.rewindSoon(a)
	}
}

// enqueued notes that n bytes more, or less, are in the queue.
func (p *Partition) enqueued(a *Accumulator, n int) {
	p.queued += n
	if p.blocked {
		a.hold(p.lane, n)
	}
}

// Queued is how many bytes wait to be sealed.
func (p *Partition) Queued() int { return p.queued }

// Empty reports whether nothing waits in memory.
func (p *Partition) Empty() bool { return len(p.queue) == 0 }

// Blocked reports what Lane.Block said last.
func (p *Partition) Blocked() bool { return p.blocked }

// Passed reports whether entries of the partition wait in the spool behind the cursor.
func (p *Partition) Passed() bool { return p.passed }

// overflows reports whether a record of size bytes does not fit the open batch.
func (p *Partition) overflows(a *Accumulator, size int) bool {
	n := len(p.queue)
	if n == 0 {
		return false
	}
	b := p.queue[n-1]
	return b.full || len(b.Buf)+size > p.lane.batchSize(a)
}

// finish has the open batch take no more records: the sticky run goes on elsewhere, so it need not wait for company.
func (p *Partition) finish() {
	if n := len(p.queue); n > 0 && !p.queue[n-1].full {
		if p.queue[n-1].full = true; n == 1 {
			p.touch()
		}
	}
}

// add puts a record into the open batch or a new one. It reports false if the
// budget has no room, and then changes nothing.
func (p *Partition) add(a *Accumulator, now int64, i spool.Index, e *spool.Entry) bool {
	size := len(e.Body) + spool.RecordHead
	if n := len(p.queue); n > 0 {
		b := p.queue[n-1]
		if !b.full && len(b.Buf)+size <= p.lane.batchSize(a) {
			if !a.grow(b, size) {
				return false
			}
			before := len(b.Buf)
			b.add(i, e.Timestamp, e.Body)
			p.enqueued(a, len(b.Buf)-before)
			return true
		}
		p.finish()
	}
	buf, ok := a.buffer(size, p.hint, p.lane.batchSize(a))
	if !ok {
		return false
	}
	b := &Batch{
		Lane: p.lane.ID, Topic: p.lane.Topic, Partition: p.ID,
		sizing: &p.lane.Sizing, created: now, Buf: buf,
	}
	b.add(i, e.Timestamp, e.Body)
	b.full = len(b.Buf) >= p.lane.batchSize(a)
	if len(p.queue) == 0 {
		p.touch()
	}
	p.queue = append(p.queue, b)
	p.enqueued(a, len(b.Buf))
	return true
}

// Head is the batch to be sealed next, or nil.
func (p *Partition) Head() *Batch {
	if len(p.queue) == 0 {
		return nil
	}
	return p.queue[0]
}

// Ready reports whether the head may be sealed now; else at says when (Age), or 0
// if there is none.
func (p *Partition) Ready(a *Accumulator, now int64) (ready bool, at int64) {
	if len(p.queue) == 0 {
		return false, 0
	}
	b := p.queue[0]
	a.now = max(a.now, now)
	at = b.created + a.cfg.LingerMs
	if a.Hurry || b.full || len(p.queue) > 1 || now >= at {
		a.waits(p, true)
		return true, at
	}
	return false, at
}

// Pop takes the head out of the queue. It takes no more records.
func (p *Partition) Pop(a *Accumulator) *Batch {
	b := p.queue[0]
	b.full = true
	a.took(p)
	p.enqueued(a, -len(b.Buf))
	p.hint = len(b.Buf)
	copy(p.queue, p.queue[1:])
	p.queue[len(p.queue)-1] = nil
	p.queue = p.queue[:len(p.queue)-1]
	return b
}
