package loop

import "github.com/spoold/spoold/accumulator"

// encode begins the encoding of a batch that is being sealed. One that was sealed before,
// under an identity that was given up, is encoded again.
func (l *Loop) encode(b *accumulator.Batch) *encoding {
	if old := l.encodings[b]; old != nil {
		l.encoder.release(old)
	}
	e := l.encoder.start(b)
	l.encodings[b] = e
	return e
}

// encoding is what to send for a batch. One that was made again from the spool
// comes here without having been announced in Effects.Sealed.
func (l *Loop) encoding(b *accumulator.Batch) *encoding {
	if e := l.encodings[b]; e != nil && e.is(b) {
		return e
	}
	return l.encode(b)
}

func (l *Loop) recycle(b *accumulator.Batch) {
	if e := l.encodings[b]; e != nil {
		l.encoder.release(e)
		delete(l.encodings, b)
	}
}
