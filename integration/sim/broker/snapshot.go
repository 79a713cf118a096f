package broker

import "slices"

// snapshot is the producer state as it was written down at an offset: of each producer the last batch.
type snapshot struct {
	offset    int64
	producers map[int64]producer
	damaged   bool // its file: a start discards it
}

// takeSnapshot writes the producer state down, unless that was done at this offset (ProducerStateManager.takeSnapshot).
func (r snapshots) takeSnapshot() {
	end := r.end()
	if n := len(r.snapshots); n > 0 && r.snapshots[n-1].offset >= end || end == 0 {
		return
	}
	s := snapshot{offset: end, producers: make(map[int64]producer, len(r.producers))}
	for pid, p := range r.producers {
		s.producers[pid] = p.newest()
	}
	r.snapshots = append(r.snapshots, s)
}

// snapshots are a replica's of what it remembers of producers, on its disk.
type snapshots struct{ *replica }

// reload makes the producer state anew: from the newest snapshot, without those that are too old by now, and the
// log behind it (ProducerStateManager.truncateAndReload, UnifiedLog.rebuildProducerState). A damaged one is discarded, the one before it counts. A snapshot at or below the log start is
// of no use any more: with all records deleted, a start forgets all producers.
func (r snapshots) reload() {
	r.snapshots = slices.DeleteFunc(r.snapshots, func(s snapshot) bool { return s.damaged || s.offset > r.end() || s.offset <= r.start })
	clear(r.producers)
	from := r.start
	if n := len(r.snapshots); n > 0 {
		from = r.snapshots[n-1].offset
		for pid, p := range r.snapshots[n-1].producers {
			if !r.expired(&p) {
				r.producers[pid] = &p
			}
		}
	}
	for i := range r.log {
		if e := &r.log[i]; e.end() > from {
			r.remember(e)
		}
	}
	r.takeSnapshot()
}

// recover is a start after a process that did not end in order: the segment is read from its first batch, deleted
// ones included, and what that gives is written down as a snapshot (LogLoader.recoverSegment). So one batch of each producer is
// known, as after a start in order, and what only memory or an older snapshot knew is lost.
func (r snapshots) recover() {
	r.snapshots = nil
	clear(r.producers)
	for i := range r.deleted {
		r.remember(&r.deleted[i])
	}
	for i := range r.log {
		r.remember(&r.log[i])
	}
	r.takeSnapshot()
}
