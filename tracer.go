package spoold

import "context"

// Tracer follows records from Send on, without holding any up: package otel has one. nil costs nothing.
type Tracer interface {
	// StartSend is called by Send and its like for each record, on the caller's goroutine and after the interceptors. It
	// returns the record to send, which may have further headers and nothing else that is new, and a func that
	// is called with what Send returned; nil: not wanted. For a Batch with a Key the headers are not taken over, so that a
	// repeat is the same records. It must not panic or block.
	StartSend(ctx context.Context, r Record) (Record, func(Delivery, error))
}

// sendObserved is Send where there are interceptors or a tracer; f may be nil.
func (p *Producer) sendObserved(ctx context.Context, r Record, f func(Ack, error)) (Delivery, error) {
	if _, err := p.current(); err != nil {
		return Delivery{}, err // interceptors are closed, or about to be
	}
	if !p.interceptors.none() {
		r = p.interceptors.onSend(ctx, r)
	}
	var traced func(Delivery, error)
	if p.env.Tracer != nil {
		r, traced = p.env.Tracer.StartSend(ctx, r)
	}
	d, err := p.sendAcknowledged(ctx, &r, f)
	if traced != nil {
		traced(d, err)
	}
	return d, err
}

// sendBatchObserved is SendBatch where there are interceptors or a tracer.
func (p *Producer) sendBatchObserved(ctx context.Context, b Batch) (Deliveries, error) {
	if _, err := p.current(); err != nil {
		return Deliveries{}, err
	}
	records := make([]Record, len(b.Records))
	traced := make([]func(Delivery, error), len(records))
	for i := range records {
		records[i] = p.interceptors.onSend(ctx, b.Records[i])
		if p.env.Tracer != nil {
			var r Record
			r, traced[i] = p.env.Tracer.StartSend(ctx, records[i])
			if b.Key == "" {
				records[i] = r
			}
		}
	}
	b.Records = records
	ds, err := p.sendBatchAcknowledged(ctx, &b)
	for i, f := range traced {
		switch {
		case f == nil:
		case err != nil:
			f(Delivery{}, err)
		default:
			f(ds.At(i), nil)
		}
	}
	return ds, err
}
