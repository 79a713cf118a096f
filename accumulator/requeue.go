package accumulator

import "github.com/spoold/spoold/protocol"

// Requeue puts batches that were sealed, and are to be sealed again, in front of the queue of p, without those of their records
// that have left: as new batches with bytes of their own, because a worker may still read the former ones. They must be all that
// was popped and has not left, in order, and their bytes must be there.
func (l *Lane) Requeue(a *Accumulator, p *Partition, batches []*Batch) error {
	front := make([]*Batch, 0, len(batches)+len(p.queue))
	for _, b := range batches {
		again, err := l.without(b)
		if err != nil {
			return err
		}
		if again.Count > 0 {
			a.Adopt(again)
			p.enqueued(a, len(again.Buf))
			front = append(front, again)
		}
	}
	p.queue = append(front, p.queue...)
	return nil
}

// without is b as it was before it was sealed, without the records that have left.
func (l *Lane) without(b *Batch) (*Batch, error) {
	out := &Batch{
		Lane: b.Lane, Topic: b.Topic, Partition: b.Partition, sizing: b.sizing, created: b.created, full: true,
		Buf: make([]byte, protocol.BatchHeaderSize, len(b.Buf)),
	}
	rest := b.Records()
	for _, i := range b.Indexes {
		delta, body, r, err := cutRecord(rest)
		if err != nil {
			return nil, err
		}
		if rest = r; !l.Left(i) {
			out.add(i, b.FirstTimestamp+delta, body)
		}
	}
	return out, nil
}
