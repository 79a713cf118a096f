package spoold

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/spoold/spoold/protocol"
)

// observedRecord is a record of an open transaction, for which interceptors or a tracer get what becomes of it.
type observedRecord struct {
	ack    Acknowledgement
	traced func(Delivery, error) // nil: no tracer
}

// observe passes records through the interceptors and the tracer, as Send does.
func (t *Transaction) observe(ctx context.Context, records []Record) ([]Record, []observedRecord) {
	p := t.p
	out, seen := make([]Record, len(records)), make([]observedRecord, len(records))
	for i := range records {
		out[i] = p.interceptors.onSend(ctx, records[i])
		if p.env.Tracer != nil {
			out[i], seen[i].traced = p.env.Tracer.StartSend(ctx, out[i])
		}
		seen[i].ack = pendingAcknowledgement(&out[i])
	}
	return out, seen
}

// notSpooled reports that records were not spooled.
func (in *interceptors) notSpooled(list []observedRecord, err error) {
	for i := range list {
		if f := list[i].traced; f != nil {
			f(Delivery{}, err)
		}
		list[i].ack.Ack, list[i].ack.Err = noAck, err
		in.onAcknowledgement(list[i].ack)
	}
}

// observedMemory is about what they take.
func observedMemory(list []observedRecord) (n int64) {
	for i := range list {
		n += 160
		for _, h := range list[i].ack.Headers {
			n += 48 + int64(len(h.Key)+len(h.Value))
		}
	}
	return n
}

// unlock lets go of mu and, if the transaction has ended without its records, reports that: an
// interceptor may call the transaction.
func (t *Transaction) unlock() {
	list, err := t.ended, error(nil)
	if t.ended = nil; list != nil {
		err = fmt.Errorf("%w: it was %s", ErrAborted, t.over)
	}
	t.mu.Unlock()
	t.p.interceptors.notSpooled(list, err)
}

// enter takes the place among callbacks.max that the records' acknowledgements share; entered reports whether there is one.
func (t *Transaction) enter(ctx context.Context) (entered bool, err error) {
	if len(t.observed) == 0 || t.p.interceptors.none() {
		return false, nil
	}
	return true, t.p.callbacks.enter(ctx, t.p.cfg.MaxBlock)
}

// spooled has the delivery of each observed record reported. Under mu.
func (t *Transaction) spooled(entered bool, of func(i int) Delivery, exact bool) {
	list := t.observed
	t.observed = nil
	left := len(list)
	var batch []callback
	for i := range list {
		d := of(i)
		if f := list[i].traced; f != nil {
			f(d, nil)
		}
		if !entered {
			continue
		}
		a := list[i].ack
		batch = append(batch, callback{delivery: d, left: &left, f: func(ack Ack, err error) {
			if a.Ack, a.Err = ack, err; !exact && err == nil {
				a.Ack = Ack{Partition: a.Partition.Number(), Offset: int64(protocol.NoOffset)}
			}
			t.p.interceptors.onAcknowledgement(a)
		}})
	}
	if entered {
		t.p.callbacks.add(batch...)
	}
}

// firstOfTopic finds for each observed record the delivery of the first record of its topic, which is all that is kept of a
// transaction on the disk.
func firstOfTopic(ds Deliveries, list []observedRecord) func(i int) Delivery {
	at := make(map[string]int, len(ds.records))
	for i := range ds.records {
		at[ds.records[i].Topic] = i
	}
	return func(i int) Delivery { return ds.At(at[list[i].ack.Topic]) }
}

// onlineEnded reports the end of a transaction that was not spooled.
func (in *interceptors) onlineEnded(list []observedRecord, err error) {
	for i := range list {
		if f := list[i].traced; f != nil {
			f(Delivery{}, err)
		}
		list[i].ack.Ack, list[i].ack.Err = Ack{Partition: list[i].ack.Partition.Number(), Offset: int64(protocol.NoOffset)}, err
		in.onAcknowledgement(list[i].ack)
	}
}

// openTransactions are those that interceptors or a tracer observe.
type openTransactions struct {
	mu   sync.Mutex
	list map[*Transaction]struct{}
}

func (o *openTransactions) add(t *Transaction) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.list == nil {
		o.list = make(map[*Transaction]struct{})
	}
	o.list[t] = struct{}{}
}

func (o *openTransactions) remove(t *Transaction) {
	o.mu.Lock()
	delete(o.list, t)
	o.mu.Unlock()
}

// close reports of the records of open transactions that the Producer was closed.
func (o *openTransactions) close(p *Producer) {
	o.mu.Lock()
	list := slices.Collect(maps.Keys(o.list))
	o.mu.Unlock()
	for _, t := range list {
		t.mu.Lock()
		seen := t.observed
		t.observed = nil
		t.mu.Unlock()
		p.interceptors.notSpooled(seen, ErrClosed)
	}
}
