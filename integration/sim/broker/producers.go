package broker

// windowSize is how many batches of a producer a broker remembers
// (ProducerStateEntry.NUM_BATCHES_TO_RETAIN).
const windowSize = 5

// producer is what a replica knows of one producer id (ProducerStateEntry).
type producer struct {
	epoch  int16
	window []remembered // of the current epoch, oldest first, at most windowSize
	lastTS int64        // largest record timestamp of the last batch: what expiry goes by
}

// remembered is a batch by which a duplicate is known (BatchMetadata).
type remembered struct {
	base, last int32
	offset     int64 // of the last record
	count      int64
	maxTS      int64
}

func (b *remembered) firstOffset() int64 { return b.offset - b.count + 1 }

func (p *producer) lastSequence() int32 {
	if len(p.window) == 0 {
		return -1
	}
	return p.window[len(p.window)-1].last
}

// remember takes a batch that was appended, by whomever: a replica does not ask for sequences.
func (r *replica) remember(e *entry) {
	if e.pid < 0 {
		return
	}
	p := r.producers[e.pid]
	if p == nil {
		p = &producer{epoch: e.pepoch}
		r.producers[e.pid] = p
	}
	if p.epoch != e.pepoch {
		p.epoch, p.window = e.pepoch, nil
	}
	if len(p.window) == windowSize {
		p.window = append(p.window[:0:0], p.window[1:]...)
	}
	p.window = append(p.window, remembered{base: e.base, last: e.last, offset: e.end() - 1, count: e.count, maxTS: e.maxTS})
	p.lastTS = e.maxTS
}

// duplicate is the remembered batch with this epoch and these sequences (findDuplicateBatch). Nothing else is compared.
func (r *replica) duplicate(pid int64, epoch int16, base, last int32) *remembered {
	p := r.producers[pid]
	if p == nil || p.epoch != epoch {
		return nil
	}
	for i := range p.window {
		if p.window[i].base == base && p.window[i].last == last {
			return &p.window[i]
		}
	}
	return nil
}

// order says whether a batch may come next (ProducerAppendInfo.checkProducerEpoch, checkSequence).
func (r *replica) order(pid int64, epoch int16, base int32) verdict {
	p := r.producers[pid]
	if p == nil {
		return fine // no state: any sequence is taken
	}
	switch {
	case epoch < p.epoch:
		return staleEpoch
	case epoch != p.epoch && base != 0 && p.epoch != -1:
		return outOfOrder
	case epoch != p.epoch || p.epoch == -1:
		return fine
	}
	if last := p.lastSequence(); last == 1<<31-1 && base == 0 || int64(base) == int64(last)+1 {
		return fine
	}
	return outOfOrder
}

type verdict uint8

const (
	fine verdict = iota
	staleEpoch
	outOfOrder
)

// expire forgets producers whose last batch is too old by its own timestamps (removeExpiredProducers).
func (r *replica) expire() {
	now := r.node.c.now()
	for pid, p := range r.producers {
		if now-p.lastTS >= r.node.c.cfg.Expiration {
			delete(r.producers, pid)
		}
	}
}

// reload makes the producer state anew up to an offset, as a start or a truncation does: from the newest snapshot,
// which holds the last batch of each producer that is not too old, and the log behind it
// (ProducerStateManager.truncateAndReload, rebuildProducerState).
func (r *replica) reload(end int64) {
	snapshot := r.start
	if n := len(r.snapshots); n > 0 {
		snapshot = max(snapshot, r.snapshots[n-1])
	}
	old := r.producers
	r.producers = map[int64]*producer{}
	for i := range r.log {
		if e := &r.log[i]; e.end() <= snapshot {
			r.rememberOnly(e)
		}
	}
	// A producer whose batches were all deleted is still in the snapshot.
	for pid, p := range old {
		if n := len(p.window); n > 0 && r.producers[pid] == nil && p.window[n-1].offset < r.start {
			r.producers[pid] = &producer{epoch: p.epoch, window: p.window[n-1:], lastTS: p.lastTS}
		}
	}
	r.expire()
	for i := range r.log {
		if e := &r.log[i]; e.end() > snapshot && e.end() <= end {
			r.remember(e)
		}
	}
}

// rememberOnly is remember for a snapshot: one batch a producer.
func (r *replica) rememberOnly(e *entry) {
	if e.pid >= 0 {
		delete(r.producers, e.pid)
		r.remember(e)
	}
}
