package accumulator

import (
	"fmt"

	"github.com/spoold/spoold/spool"
)

// Lane is a topic's way from the spool into batches: one cursor, live or behind.
type Lane struct {
	ID    spool.LaneID
	Topic string

	entries
	// frontier is one above the highest entry ever handed out: facts begin there or
	// above, never at pos.
	frontier  spool.Index
	facts     spool.Facts
	fresh     spool.Facts // facts that no Write holds yet
	stickyAt  int         // facts.Sticky[stickyAt] was used last
	runBytes  int         // given to the current sticky run
	count     int32       // partitions now, by metadata; 0: not known
	parts     []*Partition
	absent    map[int32]*Partition // that records are meant for, and that the topic does not have (yet)
	unblocked int                  // of parts: how many can be written to
	touched   []*Partition         // see Touched
	Closed    bool                 // the lane is parked as a whole: takes nothing
	Sizing
	due     bool // in Accumulator.rewinds
	holding bool // in Accumulator.holding
}

// NewLane begins a lane. frontier is one above the highest entry that was ever
// sealed; settled and sealed entries must be given to RestoreSettled and RestoreSealed.
func NewLane(id spool.LaneID, topic string, end, frontier spool.Index, facts spool.Facts) *Lane {
	return &Lane{ID: id, Topic: topic, entries: newEntries(end), frontier: frontier, facts: facts}
}

// RestoreSettled takes what has left before a start: it had been sealed.
func (l *Lane) RestoreSettled(settled *spool.Set) {
	for sp := range settled.Spans {
		l.settle(sp)
		l.RestoreSealed([]spool.Span{sp})
	}
}

// RestoreSealed takes entries that were sealed before a start.
func (l *Lane) RestoreSealed(spans []spool.Span) {
	for _, sp := range spans {
		l.claim(sp)
		l.frontier = max(l.frontier, sp.End)
	}
}

// Settle notes that entries have left.
func (l *Lane) Settle(a *Accumulator, spans []spool.Span) {
	for _, sp := range spans {
		l.settle(sp)
	}
	l.prune(l.settled.Low())
	a.WakeLanes()
}

// KnownPartitions is how many partitions records with keys were spread over at most.
func (l *Lane) KnownPartitions() (n int32) {
	for _, f := range l.facts.Counts {
		n = max(n, f.Count)
	}
	return n
}

// Partition is the queue of partition n, made if need be. n may lie above the
// number of partitions that the topic has: then it waits until it exists.
func (l *Lane) Partition(n int32) *Partition {
	if n < l.count {
		return l.parts[n]
	}
	if p := l.absent[n]; p != nil {
		return p
	}
	p := &Partition{ID: n, lane: l, blocked: true, broker: noBroker}
	if l.absent == nil {
		l.absent = make(map[int32]*Partition)
	}
	l.absent[n] = p
	return p
}

// AbsentPartition is the lowest partition that records are meant for and that the topic does not have.
func (l *Lane) AbsentPartition() (int32, bool) {
	low, found := int32(0), false
	for n, p := range l.absent {
		if (p.passed || len(p.queue) > 0) && (!found || n < low) {
			low, found = n, true
		}
	}
	return low, found
}

// Writable reports whether any partition can be written to now.
func (l *Lane) Writable() bool { return l.unblocked > 0 && !l.Closed }

// Partitions is how many partitions are known; 0: none yet.
func (l *Lane) Partitions() int32 { return l.count }

// SetPartitions says how many partitions the topic has now. New ones are blocked
// until Block says otherwise. Fewer than before is ignored: Kafka cannot take
// partitions away, and a stale broker may answer late.
func (l *Lane) SetPartitions(n int32) {
	for i := l.count; i < n; i++ {
		p := l.absent[i]
		delete(l.absent, i)
		if p == nil {
			p = &Partition{ID: i, lane: l, blocked: true, broker: noBroker}
		}
		l.parts = append(l.parts, p)
		l.count = i + 1
	}
}

// Block says whether anything can be sealed for the partition now. A
// partition that was passed over and can be written again makes the cursor go
// back; Rewind does it.
func (l *Lane) Block(a *Accumulator, p *Partition, blocked bool) {
	if p.blocked == blocked {
		return
	}
	a.WakeLanes()
	if p.ID >= l.count {
		return
	}
	p.blocked = blocked
	if blocked {
		l.unblocked--
		a.hold(l, p.queued)
	} else {
		l.unblocked++
		a.hold(l, -p.queued)
	}
	if !blocked && p.passed {
		l.rewindSoon(a)
	}
}

func (l *Lane) rewindSoon(a *Accumulator) {
	if !l.due {
		l.due = true
		a.rewinds = append(a.rewinds, l)
	}
}

// Rewind moves the cursor back to the first entry that was passed over for a
// partition that can be written again, and reports whether it did.
func (l *Lane) Rewind() bool {
	to := l.pos
	for _, p := range l.parts {
		if p.passed && !p.blocked && p.passedFrom < to {
			to = p.passedFrom
		}
	}
	for _, p := range l.parts {
		p.returning = p.passed && !p.blocked && p.passedFrom >= to
	}
	if to == l.pos {
		return false
	}
	l.pos = to
	return true
}

// Return gives entries of partition p back to the spool, to be handed out again
// in order, and with them all that waits in its queue: nothing may overtake them.
func (l *Lane) Return(a *Accumulator, p *Partition, spans []spool.Span) {
	for _, sp := range spans {
		l.release(sp)
		p.passOver(a, sp.First)
	}
	l.Evict(a, p)
}

// Evict gives the queue of p back to the spool, to make room.
func (l *Lane) Evict(a *Accumulator, p *Partition) {
	for _, b := range p.queue {
		for _, sp := range b.Spans {
			l.release(sp)
			p.passOver(a, sp.First)
		}
		a.Recycle(b)
	}
	a.waits(p, false)
	clear(p.queue)
	p.enqueued(a, -p.queued)
	p.queue = p.queue[:0]
}

// evictAll gives all queues back to the spool.
func (l *Lane) evictAll(a *Accumulator) {
	for _, p := range l.parts {
		l.Evict(a, p)
	}
	for _, p := range l.absent {
		l.Evict(a, p)
	}
}

// Reread gives all queues back to the spool and has the lane read from its first entry that has not left or been sealed. Partitions
// that the topic does not have are forgotten until an entry for them is met again.
func (l *Lane) Reread(a *Accumulator) {
	l.evictAll(a)
	for _, p := range l.absent { // whoever delivers for it keeps its queue: before the topic's metadata comes, every partition is one of these
		p.passed, p.returning = false, false
	}
	l.pos = 0
}

// EvictBlocked gives up what blocked partitions hold and reports how much it was.
func (l *Lane) EvictBlocked(a *Accumulator) int {
	before := a.used
	for _, p := range l.parts {
		if p.blocked && len(p.queue) > 0 {
			l.Evict(a, p)
		}
	}
	for _, p := range l.absent {
		if len(p.queue) > 0 {
			l.Evict(a, p)
		}
	}
	return before - a.used
}

// ResetFacts forgets how entries above the frontier were spread: the topic is a
// new one. What all queues hold is given back, also those of partitions that the
// topic did not have, and does not have now.
func (l *Lane) ResetFacts(a *Accumulator, n int32) {
	l.evictAll(a)
	l.facts, l.fresh, l.stickyAt, l.runBytes = spool.Facts{}, spool.Facts{}, 0, 0
	l.parts, l.absent, l.count, l.unblocked = nil, nil, 0, 0
	l.pos = 0
	l.frontier = l.claimed.NextAbsent(0)
	l.SetPartitions(n)
}

// FreshFacts are the facts that no Write holds yet; they are handed out once.
func (l *Lane) FreshFacts() (spool.Facts, bool) {
	f := l.fresh
	l.fresh = spool.Facts{}
	return f, len(f.Counts)+len(f.Sticky) > 0
}

// Feed takes what it can of sections, which must begin at or below the cursor and
// have no gap above it but entries that have left. It returns whether all was
// taken or passed over; if not, the cursor stands at the first that was not.
func (l *Lane) Feed(a *Accumulator, now int64, sections []spool.Section) (all bool, err error) {
	if l.count == 0 || l.Closed {
		return false, nil
	}
	l.limit.grow(now, a.cfg.BatchSize)
	a.now = max(a.now, now)
	for k := range sections {
		if all, err = l.feed(a, now, &sections[k]); !all || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Touched calls yield with each partition that had nothing and has something now, in its
// queue or, passed over, in the spool, or whose first batch need not wait for company any more, since the last call.
func (l *Lane) Touched(yield func(*Partition)) {
	for _, p := range l.touched {
		p.touched = false
		yield(p)
	}
	l.touched = l.touched[:0]
}

func (l *Lane) feed(a *Accumulator, now int64, sec *spool.Section) (bool, error) {
	rest := sec.Bytes
	var run spool.Span // claimed, not in the set yet
	defer func() { l.claim(run) }()
	for _, sp := range sec.Spans {
		for i := sp.First; i < sp.End; i++ {
			e, r, err := spool.NextEntry(rest)
			if err != nil {
				return false, fmt.Errorf("entry %d of topic %q: %w", i, l.Topic, err)
			}
			rest = r
			if i < l.pos || l.isClaimed(i) {
				l.pos = max(l.pos, i+1)
				continue
			}
			taken, ok := l.place(a, now, i, &e)
			if !ok {
				return false, nil
			}
			if taken {
				if run.End != i {
					l.claim(run)
					run.First = i
				}
				run.End = i + 1
			}
			l.pos = i + 1
			l.frontier = max(l.frontier, i+1)
		}
	}
	return true, nil
}

// place puts one entry into its partition's queue (taken) or passes it over; !ok:
// neither, the lane stops here.
func (l *Lane) place(a *Accumulator, now int64, i spool.Index, e *spool.Entry) (taken, ok bool) {
	p := l.choose(a, i, e)
	if p.passed {
		if !p.returning || p.blocked {
			p.returning = false // from here on the cursor has gone by again
			return false, true
		}
		p.passed, p.returning = false, false
	}
	if p.blocked && p.queued >= 2*l.batchSize(a) || !p.add(a, now, i, e) {
		// A partition that cannot be written must not hold the others up, but
		// where none can, reading on would only pass over everything.
		if !p.blocked || l.unblocked == 0 {
			return false, false
		}
		p.passed, p.returning, p.passedFrom = true, false, i
		if len(p.queue) == 0 {
			p.touch() // or nobody would look after it
		}
		return false, true
	}
	return true, true
}
