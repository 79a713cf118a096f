package spoold

import (
	"context"
	"errors"
	"fmt"

	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool/bolt"
)

// Send spools one record and returns at once; Delivery reports when it is durable and when
// it is acked. The record's bytes are copied. Records of one goroutine for one
// topic-partition are delivered in the order of their Sends.
//
// It waits only while the spool is full, at most max.block.ms or until ctx ends: then ErrFull (with
// the context's error), and the record was not taken. With a context that has ended already nothing is taken. ErrTooLarge, ErrInvalidRecord: it never can
// be, or it names a partition that its topic does not have: where the number of partitions is known and too small, and the cluster can
// be reached, that is asked for anew, which takes at most a second. Where it is not known the record is taken, and waits. ErrClosed, or ErrUnknown after a disk failure: this Producer takes no more.
// Safe for concurrent use.
func (p *Producer) Send(ctx context.Context, r Record) (Delivery, error) {
	if p.plain {
		return p.send(ctx, &r)
	}
	return p.sendObserved(ctx, r, nil)
}

func (p *Producer) send(ctx context.Context, r *Record) (Delivery, error) {
	if ctx.Err() != nil {
		return Delivery{}, context.Cause(ctx)
	}
	clock := clockReading{now: p.env.Now}
	if err := p.rules.check(r, &clock); err != nil {
		return Delivery{}, err
	}
	partition := r.Partition
	if !p.chooser.none() || partition.Number() > 0 {
		var err error
		if partition, err = p.counts.place(ctx, p, r, false); err != nil {
			return Delivery{}, err
		}
	}
	timestamp := int64(bolt.NoTimestamp)
	if !r.Timestamp.IsZero() {
		timestamp = r.Timestamp.UnixMilli()
	}
	for {
		e, err := p.current()
		if err != nil {
			return Delivery{}, err
		}
		// With no room it comes back at once; only then is a timer worth its price.
		t, taken, err := e.store.AppendStamped(noWait, r.Topic, timestamp, partition.Number(), r.Key, r.Value, r.Headers)
		if errors.Is(err, bolt.ErrFull) {
			ended := p.room.blocked(p.meter, e.store)
			wait, cancel := context.WithTimeoutCause(ctx, p.cfg.MaxBlock, ErrMaxBlock)
			t, taken, err = e.store.AppendStamped(wait, r.Topic, timestamp, partition.Number(), r.Key, r.Value, r.Headers)
			cancel()
			ended(err)
		}
		if err == nil {
			p.room.taken(e.store)
			return Delivery{t, taken}, nil
		}
		if err = p.afterRefusal(ctx, e, err); err != nil {
			return Delivery{}, err
		}
	}
}

// SendBatch spools all records and notes of a batch in one commit, or none of them, and
// returns at once. With a Key that was used before, nothing is spooled and the
// deliveries are those of the first batch; ErrKeyReused if that one had other
// records. A *RecordError says which record cannot be taken. ErrKeyWindow: too many keys within 15 minutes, try again later. Otherwise as Send.
func (p *Producer) SendBatch(ctx context.Context, b Batch) (Deliveries, error) {
	if p.plain {
		return p.sendBatch(ctx, &b)
	}
	return p.sendBatchObserved(ctx, b)
}

func (p *Producer) sendBatch(ctx context.Context, b *Batch) (Deliveries, error) {
	if ctx.Err() != nil {
		return Deliveries{}, context.Cause(ctx)
	}
	in, err := p.input(ctx, b)
	if err != nil {
		return Deliveries{}, err
	}
	return p.append(ctx, in)
}

// append spools what was checked.
func (p *Producer) append(ctx context.Context, in *bolt.BatchInput) (Deliveries, error) {
	for {
		e, err := p.current()
		if err != nil {
			return Deliveries{}, err
		}
		t, err := e.store.AppendBatch(noWait, in)
		if errors.Is(err, bolt.ErrFull) {
			ended := p.room.blocked(p.meter, e.store)
			wait, cancel := context.WithTimeoutCause(ctx, p.cfg.MaxBlock, ErrMaxBlock)
			t, err = e.store.AppendBatch(wait, in)
			cancel()
			ended(err)
		}
		if err == nil {
			p.room.taken(e.store)
			return Deliveries{t, in.Records}, nil
		}
		if err = p.afterRefusal(ctx, e, err); err != nil {
			return Deliveries{}, err
		}
	}
}

// noWait is a context that has ended: whoever would wait under it does not.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (p *Producer) input(ctx context.Context, b *Batch) (*bolt.BatchInput, error) {
	in := &bolt.BatchInput{Key: b.Key, Unit: p.cfg.TransactionalID != "", Records: make([]bolt.RecordInput, len(b.Records))}
	clock := clockReading{now: p.env.Now}
	now := int64(bolt.NoTimestamp) // with a key a repeat must be the same records, whenever it comes
	if b.Key == "" {
		now = clock.get().UnixMilli()
	}
	for i := range b.Records {
		r := &b.Records[i]
		if err := p.rules.check(r, &clock); err != nil {
			return nil, &RecordError{i, len(b.Records), err}
		}
		partition, err := p.counts.place(ctx, p, r, b.Key != "")
		if err != nil {
			return nil, &RecordError{i, len(b.Records), err}
		}
		timestamp := now
		if !r.Timestamp.IsZero() {
			timestamp = r.Timestamp.UnixMilli()
		}
		in.Records[i] = recordInput(r, partition, timestamp)
	}
	for _, n := range b.Notes {
		if len(n.Name) == 0 || len(n.Name) > 255 || len(n.Value) > 4096 {
			return nil, fmt.Errorf("%w: note %.40q has a name of %d bytes (1 to 255) and a value of %d (up to 4096)",
				ErrInvalidRecord, n.Name, len(n.Name), len(n.Value))
		}
		in.Notes = append(in.Notes, bolt.Note{Name: n.Name, Value: n.Value})
	}
	if len(b.Records) == 0 && len(b.Notes) == 0 {
		return nil, fmt.Errorf("%w: a batch needs a record or a note", ErrInvalidRecord)
	}
	return in, nil
}

func recordInput(r *Record, partition Partition, timestamp int64) bolt.RecordInput {
	return bolt.RecordInput{Topic: r.Topic, Timestamp: timestamp, Partition: partition.Number(), Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// afterRefusal decides what an append that failed means: nil to try once more, on
// the spool as it was opened again after a full disk. The record was not taken.
func (p *Producer) afterRefusal(ctx context.Context, e *engine, err error) error {
	if !errors.Is(err, bolt.ErrPoisoned) && !errors.Is(err, bolt.ErrClosed) && !errors.Is(err, loop.ErrOver) {
		return public(err)
	}
	select {
	case <-e.replaced: // by another engine, or by none: current returns it
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
