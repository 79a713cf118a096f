package accumulator

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// mostPieces is how many a batch is cut into at most.
const mostPieces = 64

// Fitting are the places before which to cut a batch that was refused for its size, so that its pieces are as large as its topic takes them; none if
// nothing says how large that is. It needs the bytes.
func (s *Sizing) Fitting(b *Batch) (places []int32, err error) {
	return fitting(b, s.limit.allowed(b.WireSize()))
}

// fitting are the places before which to cut b, so that its pieces have at most so many bytes on the wire, by what the whole has; none for 0, or where
// there would be too many.
func fitting(b *Batch, wire int) (places []int32, err error) {
	if wire == 0 {
		return nil, nil
	}
	whole := observed(len(b.Buf)-protocol.BatchHeaderSize, b.WireSize()-protocol.BatchHeaderSize)
	most := whole.records(max(wire, leastLimit) - protocol.BatchHeaderSize)
	rest, taken := b.Records(), 0
	for n := range b.Count {
		_, _, r, err := cutRecord(rest)
		if err != nil {
			return nil, err
		}
		size := len(rest) - len(r)
		if rest = r; taken > 0 && taken+size > most {
			places, taken = append(places, n), 0
		}
		taken += size
	}
	if len(places) >= mostPieces {
		return nil, nil
	}
	return places, nil
}

// Fit cuts the head of the queue if it is larger than its topic is known to take: it was filled before that was known, and would be refused
// together with all that is sent behind it.
func (p *Partition) Fit(a *Accumulator) error {
	b, limit := p.queue[0], p.lane.limit.bytes
	if limit == 0 || b.Count < 2 || b.WireSize() <= limit {
		return nil
	}
	places, err := fitting(b, limit)
	if err != nil || len(places) == 0 {
		return err
	}
	pieces, err := b.Cut(places)
	if err != nil {
		return err
	}
	p.enqueued(a, -len(b.Buf))
	a.Recycle(b)
	for _, piece := range pieces {
		a.Adopt(piece)
		p.enqueued(a, len(piece.Buf))
	}
	p.queue = slices.Insert(p.queue[1:], 0, pieces...)
	return nil
}
