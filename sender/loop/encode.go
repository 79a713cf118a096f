package loop

import (
	"sync"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
)

// encoding is the bytes of one sealed batch as they go on the wire. They are made
// once and kept for every copy that is sent, until the core recycles the batch.
type encoding struct {
	header protocol.BatchHeader
	buf    []byte // the batch's own: room for the header, then the records
	out    []byte // valid once ready is closed
	pooled bool   // out is the encoder's, not the batch's
	once   sync.Once
	ready  chan struct{} // nil: not compressed, whoever asks first writes the header
	batch  *accumulator.Batch
	sized  bool // the batch has its size; the loop's alone
}

// bytes waits for the encoding, and makes it if nobody else does. Any goroutine.
func (e *encoding) bytes() []byte {
	if e.ready != nil {
		<-e.ready
		return e.out
	}
	e.once.Do(func() {
		protocol.WriteBatchHeader(e.buf, e.header)
		e.out = e.buf
	})
	return e.out
}

// is reports whether e is the encoding of b as b is sealed now.
func (e *encoding) is(b *accumulator.Batch) bool {
	return e.header.Identity == b.Identity && e.header.Base == b.Base && e.header.Count == b.Count &&
		len(e.buf) == len(b.Buf) && &e.buf[0] == &b.Buf[0]
}

// encoder makes encodings: a few goroutines that take from one queue. Without
// compression it has none, and a connection's writer makes the header on its way.
type encoder struct {
	codec protocol.Codec
	level int

	mu     sync.Mutex
	more   sync.Cond
	queue  []*encoding
	closed bool
	ended  sync.WaitGroup
	pool   sync.Pool // of *[]byte
}

func newEncoder(c protocol.Codec, level, workers int) *encoder {
	en := &encoder{codec: c, level: level}
	en.more.L = &en.mu
	if c == protocol.CodecNone {
		return en
	}
	for range workers {
		en.ended.Go(en.work)
	}
	return en
}

// start begins the encoding of a sealed batch. It never blocks: the queue holds
// no more than the batches that the core has sealed.
func (en *encoder) start(b *accumulator.Batch) *encoding {
	e := &encoding{batch: b, buf: b.Buf, header: protocol.BatchHeader{
		FirstTimestamp: b.FirstTimestamp, MaxTimestamp: b.MaxTimestamp,
		Identity: b.Identity, Base: b.Base, Count: b.Count,
	}}
	if b.Transactional {
		e.header.Attributes |= protocol.AttributeTransactional
	}
	if en.codec == protocol.CodecNone {
		return e
	}
	e.ready = make(chan struct{})
	en.mu.Lock()
	en.queue = append(en.queue, e)
	en.mu.Unlock()
	en.more.Signal()
	return e
}

// setSize gives the batch the size that it became, once that is known. It does not wait. The loop's goroutine.
func (e *encoding) setSize() {
	if e.ready == nil || e.sized || e.batch.Shell != e {
		return
	}
	select {
	case <-e.ready:
		e.sized = true
		e.batch.Encoded(len(e.out))
	default:
	}
}

// release gives back what an encoding holds. It waits for one that is being
// made, which is rare (a batch is not recycled before its answer) and short.
func (en *encoder) release(e *encoding) {
	if e.ready == nil {
		return
	}
	<-e.ready
	if e.pooled {
		out := e.out[:0]
		en.pool.Put(&out)
	}
}

func (en *encoder) work() {
	for {
		en.mu.Lock()
		for len(en.queue) == 0 && !en.closed {
			en.more.Wait()
		}
		if len(en.queue) == 0 {
			en.mu.Unlock()
			return
		}
		e := en.queue[0]
		en.queue = en.queue[1:]
		en.mu.Unlock()
		en.make(e)
	}
}

// make compresses. What does not get smaller is sent as it is.
func (en *encoder) make(e *encoding) {
	defer close(e.ready)
	var dst []byte
	if p, ok := en.pool.Get().(*[]byte); ok {
		dst = *p
	}
	var room [protocol.BatchHeaderSize]byte
	dst = append(dst[:0], room[:]...)
	records := e.buf[protocol.BatchHeaderSize:]
	out, err := codec.Compress(dst, records, en.codec, en.level)
	if err == nil && len(out) < len(e.buf) {
		e.out, e.pooled = out, true
		e.header.Attributes |= protocol.Attributes(en.codec)
	} else {
		e.out = e.buf
	}
	protocol.WriteBatchHeader(e.out, e.header)
}

// close ends the workers once the queue is empty.
func (en *encoder) close() {
	en.mu.Lock()
	en.closed = true
	en.mu.Unlock()
	en.more.Broadcast()
	en.ended.Wait()
}

// The encoding of a batch is kept in its Shell field, for every copy that is sent: it
// is forgotten when the core forgets the batch.

// encode begins the encoding of a batch that is being sealed. One that was sealed before,
// under an identity that was given up, is encoded again.
func (en *encoder) encode(b *accumulator.Batch) *encoding {
	en.recycle(b)
	e := en.start(b)
	b.Shell = e
	return e
}

// encoding is what to send for a batch. One that was made again from the spool
// comes here without having been announced in Effects.Sealed.
func (en *encoder) encoding(b *accumulator.Batch) *encoding {
	if e, ok := b.Shell.(*encoding); ok && e.is(b) {
		return e
	}
	return en.encode(b)
}

func (en *encoder) recycle(b *accumulator.Batch) {
	if e, ok := b.Shell.(*encoding); ok {
		b.Shell = nil
		en.release(e)
	}
}
