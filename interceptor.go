package spoold

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Interceptor sees every record on its way in, and its acknowledgement: for tracing, auditing, or adding
// headers. Interceptors of a Producer are called in their order in Env.Interceptors. Its methods may be
// called from several goroutines at once.
//
// One that returns an error or panics is logged and passed by: the record goes on as it was before it.
type Interceptor interface {
	// OnSend is called by Send and its like, on the caller's goroutine, before the record is
	// checked, and returns the record to send. It must not change the bytes of key, value or headers in
	// place. For a Batch with a Key it must give a repeat the same result.
	OnSend(ctx context.Context, r Record) (Record, error)
	// OnAcknowledgement is called once for each record that OnSend has seen in this process, when its outcome
	// is known: on the goroutine of SendFunc's callbacks and before the record's own, so it must return soon;
	// or on the caller's goroutine if the record was not taken; for one of a transaction that was aborted, where that
	// happened (a caller's goroutine or one of its own). What an earlier process spooled
	// is reported by Hooks.BatchAcked alone.
	OnAcknowledgement(a Acknowledgement)
	// Close is called once: at the end of Producer.Close, or when Open fails.
	Close() error
}

// Acknowledgement is what became of a record.
type Acknowledgement struct {
	Topic     string
	Partition Partition // as it was asked for
	Headers   []Header  // as they were sent
	Ack       Ack       // where it is; partition and offset -1 if Err is not nil; Offset -1 and no Timestamp for one of a Transaction that did not fit into memory or has SendOffsets
	Err       error     // as Delivery.Acked or Send returned it
}

// InterceptorFailed: an interceptor returned an error, and was passed by; or the Partitioner's Close did.
type InterceptorFailed struct {
	Interceptor string // its type
	Method      string // "OnSend" or "Close"
	Err         error
}

// interceptors are those of one Producer.
type interceptors struct {
	list  []Interceptor
	hooks *Hooks
	once  sync.Once
	over  atomic.Bool
}

func (in *interceptors) none() bool { return len(in.list) == 0 }

// onSend passes a record through all of them.
func (in *interceptors) onSend(ctx context.Context, r Record) Record {
	for _, one := range in.list {
		r = in.onSendOf(ctx, one, r)
	}
	return r
}

func (in *interceptors) onSendOf(ctx context.Context, one Interceptor, r Record) (next Record) {
	next = r
	defer in.hooks.recovered("interceptor")
	r.Headers = slices.Clip(r.Headers) // an append must not write into the caller's array
	changed, err := one.OnSend(ctx, r)
	if err != nil {
		in.failed(one, "OnSend", err)
		return next
	}
	return changed
}

// pendingAcknowledgement is the part of an Acknowledgement that is known when the record is sent.
func pendingAcknowledgement(r *Record) Acknowledgement {
	a := Acknowledgement{Topic: r.Topic, Partition: r.Partition}
	if len(r.Headers) > 0 {
		a.Headers = make([]Header, len(r.Headers))
		for i, h := range r.Headers {
			a.Headers[i] = Header{Key: h.Key, Value: slices.Clone(h.Value)}
		}
	}
	return a
}

func (in *interceptors) onAcknowledgement(a Acknowledgement) {
	if in.over.Load() {
		return // Close was called
	}
	for _, one := range in.list {
		func() {
			defer in.hooks.recovered("interceptor")
			one.OnAcknowledgement(a)
		}()
	}
}

// close closes all of them, once, whatever one of them does.
func (in *interceptors) close() {
	in.once.Do(func() {
		in.over.Store(true)
		for _, one := range in.list {
			func() {
				defer in.hooks.recovered("interceptor")
				if err := one.Close(); err != nil {
					in.failed(one, "Close", err)
				}
			}()
		}
	})
}

func (in *interceptors) failed(one Interceptor, method string, err error) {
	call(in.hooks, in.hooks.InterceptorFailed, InterceptorFailed{Interceptor: fmt.Sprintf("%T", one), Method: method, Err: err})
}

// sendAcknowledged sends one record and reports its outcome to interceptors; f may be nil.
func (p *Producer) sendAcknowledged(ctx context.Context, r *Record, f func(Ack, error)) (Delivery, error) {
	if p.interceptors.none() {
		if f == nil {
			return p.send(ctx, r)
		}
		return p.sendFunc(ctx, r, f)
	}
	acknowledged := pendingAcknowledgement(r)
	d, err := p.sendFunc(ctx, r, func(a Ack, err error) {
		acknowledged.Ack, acknowledged.Err = a, err
		p.interceptors.onAcknowledgement(acknowledged)
		if f != nil {
			f(a, err)
		}
	})
	if err != nil {
		acknowledged.Ack, acknowledged.Err = noAck, err
		p.interceptors.onAcknowledgement(acknowledged)
	}
	return d, err
}

// sendBatchAcknowledged sends a batch and reports its outcome to interceptors. A batch is one of
// callbacks.max, however many records it has.
func (p *Producer) sendBatchAcknowledged(ctx context.Context, b *Batch) (Deliveries, error) {
	if p.interceptors.none() {
		return p.sendBatch(ctx, b)
	}
	acknowledged := make([]Acknowledgement, len(b.Records))
	for i := range b.Records {
		acknowledged[i] = pendingAcknowledgement(&b.Records[i])
	}
	refused := func(err error) {
		for i := range acknowledged {
			acknowledged[i].Ack, acknowledged[i].Err = noAck, err
			p.interceptors.onAcknowledgement(acknowledged[i])
		}
	}
	if err := p.callbacks.enter(ctx, p.cfg.MaxBlock); err != nil {
		refused(err)
		return Deliveries{}, err
	}
	ds, err := p.sendBatch(ctx, b)
	if err != nil || ds.Len() == 0 {
		p.callbacks.leave(1)
		if err != nil {
			refused(err)
		}
		return ds, err
	}
	left := ds.Len()
	batch := make([]callback, left)
	for i := range batch {
		a := acknowledged[i]
		batch[i] = callback{delivery: ds.At(i), left: &left, f: func(ack Ack, err error) {
			a.Ack, a.Err = ack, err
			p.interceptors.onAcknowledgement(a)
		}}
	}
	p.callbacks.add(batch...)
	return ds, nil
}
