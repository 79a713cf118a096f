package idempotence

import (
	"fmt"

	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
)

// MaxInFlight is how many batches of a producer a broker remembers per
// partition (ProducerStateEntry.NUM_BATCHES_TO_RETAIN): with more unanswered,
// the oldest could no longer be recognised.
const MaxInFlight = 5

// Partition is our identity on one partition. The zero value is not valid; see
// NewPartition. Not safe for concurrent use: the sender owns it.
type Partition struct {
	Identity protocol.ProducerIdentity
	// Next is the sequence of the next record to be sealed. It only ever moves
	// forward within an epoch.
	Next protocol.Sequence
	// Settled is the last sequence known to be on the cluster under Identity, or
	// protocol.NoSequence.
	Settled protocol.Sequence
	// LastOffset is where the last acked record is, or protocol.NoOffset.
	LastOffset protocol.Offset
	// LastMaxTimestamp is the largest record timestamp of the last acked batch: by
	// it the broker decides when to forget us (broker-facts 4.6). 0: none acked.
	LastMaxTimestamp int64
	// Known: the broker is known to have state for Identity here, so that it will
	// tell a duplicate and refuse a gap.
	Known bool
}

// NewPartition is a partition to which nothing was ever sent.
func NewPartition() Partition {
	return Partition{Identity: protocol.NoIdentity, Settled: protocol.NoSequence, LastOffset: protocol.NoOffset}
}

// Take gives the next n sequences away and returns the first.
func (p *Partition) Take(n int32) protocol.Sequence {
	if !p.Identity.Valid() || n < 1 {
		panic(fmt.Sprintf("idempotence: %d sequences asked for under identity %v", n, p.Identity))
	}
	base := p.Next
	p.Next = p.Next.Next(int(n))
	return base
}

// Acked notes that the batch from base to last, of n records at offset, is on the
// cluster. offset may be protocol.NoOffset.
func (p *Partition) Acked(last protocol.Sequence, n int32, offset protocol.Offset, maxTimestamp int64) {
	p.Settled = last
	p.Known = true
	p.LastMaxTimestamp = maxTimestamp
	if offset != protocol.NoOffset {
		p.LastOffset = offset + protocol.Offset(n) - 1
	}
}

// Adopt moves the partition over to a new producer id. Nothing may be unresolved.
func (p *Partition) Adopt(id protocol.ProducerIdentity) {
	p.Identity, p.Next, p.Settled, p.Known = id, 0, protocol.NoSequence, false
}

// Bump goes on at sequence 0 of the next epoch of the same producer id. It
// reports false, and changes nothing, if there is no further epoch: then a new
// producer id is needed.
func (p *Partition) Bump() bool {
	if p.Identity.Epoch >= protocol.MaxProducerEpoch || !p.Identity.Valid() {
		return false
	}
	id := p.Identity
	id.Epoch++
	p.Adopt(id)
	return true
}

// Margin is how far back a record timestamp may lie for the broker still to
// remember the producer (DESIGN 4.5). All in ms; wall is now.
type Margin struct {
	Wall int64 // now, ms since 1970
	Ms   int64
}

// Inside reports whether a broker that has seen maxTimestamp last still remembers.
func (m Margin) Inside(maxTimestamp int64) bool { return m.Wall-maxTimestamp < m.Ms }

// Limit is how many batches may be unanswered, counting a batch whose largest
// timestamp is candidate. oldest is the smallest of the largest timestamps of those
// unanswered now; ok says whether there are any. Kafka's own client has no such
// rule: two first batches, the second of which is accepted first, leave the
// first out of order for ever (KAFKA-14359).
func (p *Partition) Limit(m Margin, mayAsk bool, oldest int64, unanswered bool, candidate int64) int {
	switch {
	case !p.Known && !planted.Is(planted.TwoBeforeState), !mayAsk:
		return 1
	case !m.Inside(p.LastMaxTimestamp):
		return 1
	case unanswered && !m.Inside(oldest), !m.Inside(candidate):
		return 1
	}
	return MaxInFlight
}
