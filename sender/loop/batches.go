package loop

import "github.com/spoold/spoold/accumulator"

// The encoding of a batch is kept in its Shell field, for every copy that is sent: it
// is forgotten when the core forgets the batch.

// encode begins the encoding of a batch that is being sealed. One that was sealed before,
// under an identity that was given up, is encoded again.
func (l *Loop) encode(b *accumulator.Batch) *encoding {
	l.recycle(b)
	e := l.encoder.start(b)
	b.Shell = e
	return e
}

// encoding is what to send for a batch. One that was made again from the spool
// comes here without having been announced in Effects.Sealed.
func (l *Loop) encoding(b *accumulator.Batch) *encoding {
	if e, ok := b.Shell.(*encoding); ok && e.is(b) {
		return e
	}
	return l.encode(b)
}

func (l *Loop) recycle(b *accumulator.Batch) {
	if e, ok := b.Shell.(*encoding); ok {
		b.Shell = nil
		l.encoder.release(e)
	}
}
