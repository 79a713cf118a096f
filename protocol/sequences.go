package protocol

import "fmt"

// Sequences is a producer's identity on one partition and how far it has come there. The zero value is not valid; see
// NewSequences. A sequence that was given to records is never given to others under the same identity.
type Sequences struct {
	Identity ProducerIdentity
	// Next is the sequence of the next record to be sealed. It only ever moves
	// forward within an epoch.
	Next Sequence
	// Settled is the last sequence known to be on the cluster under Identity, or NoSequence.
	Settled Sequence
	// LastOffset is where the last acked record is, or NoOffset.
	LastOffset Offset
	// LastMaxTimestamp is the largest record timestamp of the last acked batch: by
	// it the broker decides when to forget the producer. 0: none acked.
	LastMaxTimestamp int64
	// Known: the broker is known to have state for Identity here, so that it will
	// detect a duplicate and refuse a gap.
	Known bool
}

// NewSequences are those of a partition to which nothing was ever sent.
func NewSequences() Sequences {
	return Sequences{Identity: NoIdentity, Settled: NoSequence, LastOffset: NoOffset}
}

// Assign gives the next n sequences away and returns the first.
func (s *Sequences) Assign(n int32) Sequence {
	if !s.Identity.Valid() || n < 1 {
		panic(fmt.Sprintf("protocol: %d sequences asked for under identity %v", n, s.Identity))
	}
	base := s.Next
	s.Next = s.Next.Next(int(n))
	return base
}

// Acked notes that the batch up to sequence last, of n records at offset, is on the
// cluster. offset may be NoOffset.
func (s *Sequences) Acked(last Sequence, n int32, offset Offset, maxTimestamp int64) {
	s.Settled = last
	s.Known = true
	s.LastMaxTimestamp = maxTimestamp
	if offset != NoOffset {
		s.LastOffset = offset + Offset(n) - 1
	}
}

// Adopt moves over to a new producer id or epoch. Nothing may be unresolved.
func (s *Sequences) Adopt(id ProducerIdentity) {
	s.Identity, s.Next, s.Settled, s.Known = id, 0, NoSequence, false
}

// Bump goes on at sequence 0 of the next epoch of the same producer id. It
// reports false, and changes nothing, if there is no further epoch: then a new
// producer id is needed.
func (s *Sequences) Bump() bool {
	if s.Identity.Epoch >= MaxProducerEpoch || !s.Identity.Valid() {
		return false
	}
	id := s.Identity
	id.Epoch++
	s.Adopt(id)
	return true
}

// Margin is how far back a record timestamp may lie for a broker to remember the producer for
// certain: it forgets by the largest record timestamp of the last batch (producer.id.expiration.ms).
type Margin struct {
	Wall int64 // now, ms since 1970
	Ms   int64
}

// Inside reports whether a broker that has seen maxTimestamp last still remembers.
func (m Margin) Inside(maxTimestamp int64) bool { return m.Wall-maxTimestamp < m.Ms }
