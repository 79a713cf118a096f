package broker

import "github.com/spoold/spoold/protocol"

// windowSize is how many batches of a producer a broker remembers
// (ProducerStateEntry.NUM_BATCHES_TO_RETAIN).
const windowSize = 5

// producer is what a replica has of one producer id (ProducerStateEntry).
type producer struct {
	epoch  int16
	known  int8                   // how many of window
	window [windowSize]remembered // of the current epoch, oldest first
	lastTS int64                  // largest record timestamp of the last batch: what expiry goes by
	open   int64                  // one above the first offset of the open transaction; 0: none is open
	serial int64                  // of the open transaction
	reign  int32                  // one above the epoch of the coordinator that wrote the last marker; 0: there was none
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
	if p.known == 0 {
		return -1
	}
	return p.window[p.known-1].last
}

// add remembers a batch, and forgets the oldest if there are too many, and all of another epoch
// (ProducerStateEntry.addBatch).
func (p *producer) add(e *entry) {
	if p.epoch != e.pepoch {
		p.epoch, p.known = e.pepoch, 0
	}
	if p.known == windowSize {
		copy(p.window[:], p.window[1:])
		p.known--
	}
	p.window[p.known] = remembered{base: e.base, last: e.last, offset: e.end() - 1, count: e.count, maxTS: e.maxTS}
	p.known++
	p.lastTS = e.maxTS
}

// newest is p as a snapshot keeps it: with its last batch.
func (p *producer) newest() producer {
	s := producer{epoch: p.epoch, lastTS: p.lastTS, open: p.open, serial: p.serial, reign: p.reign}
	if p.known > 0 {
		s.window[0], s.known = p.window[p.known-1], 1
	}
	return s
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
	if e.marker != noMarker {
		p.mark(e)
		return
	}
	p.add(e)
	if e.transactional && p.open == 0 {
		p.open, p.serial = e.offset+1, e.serial
	}
}

// mark takes the marker that ends a transaction (ProducerAppendInfo.appendEndTxnMarker).
func (p *producer) mark(e *entry) {
	if p.epoch != e.pepoch {
		p.epoch, p.known = e.pepoch, 0
	}
	p.open, p.serial, p.lastTS, p.reign = 0, 0, e.maxTS, e.reign+1
}

// ongoing reports whether a producer's transaction of an epoch is open here.
func (r transactions) ongoing(pid int64, epoch int16) bool {
	p := r.producers[pid]
	return p != nil && p.open > 0 && p.epoch == epoch
}

// duplicate is the remembered batch with this epoch and these sequences (findDuplicateBatch). Nothing else is compared.
func (r *replica) duplicate(e *entry) *remembered {
	p := r.producers[e.pid]
	if p == nil || p.epoch != e.pepoch {
		return nil
	}
	for i := range p.window[:p.known] {
		if p.window[i].base == e.base && p.window[i].last == e.last {
			return &p.window[i]
		}
	}
	return nil
}

// noEpoch is the epoch of a producer of which nothing is known (RecordBatch.NO_PRODUCER_EPOCH).
const noEpoch = -1

// order says why a batch may not come next (ProducerAppendInfo.checkProducerEpoch, checkSequence).
func (r *replica) order(e *entry) protocol.ErrorCode {
	epoch, last := int16(noEpoch), int32(-1)
	if p := r.producers[e.pid]; p != nil {
		epoch, last = p.epoch, p.lastSequence()
	}
	v, verified := r.verifying[e.pid]
	switch {
	case e.pepoch < epoch:
		return protocol.InvalidProducerEpoch
	case epoch == noEpoch && e.v2 && e.base != 0: // a transaction of KIP-890 begins with the first sequence
		return protocol.OutOfOrderSequenceNumber
	case verified && e.base > v.lowest: // an earlier batch was to be verified, and has not come
		return protocol.OutOfOrderSequenceNumber
	case epoch == noEpoch: // no state: any sequence is taken
		return protocol.None
	case e.pepoch > epoch && e.base == 0, last == 1<<31-1 && e.base == 0:
		return protocol.None
	case e.pepoch > epoch || int64(e.base) != int64(last)+1:
		return protocol.OutOfOrderSequenceNumber
	}
	return protocol.None
}

// expire forgets producers whose last batch is too old by its own timestamps (removeExpiredProducers).
func (r *replica) expire() {
	for pid, p := range r.producers {
		if r.expired(p) {
			delete(r.producers, pid)
		}
	}
}

func (r *replica) expired(p *producer) bool {
	return p.open == 0 && r.node.c.now()-p.lastTS >= r.node.c.cfg.Expiration
}
