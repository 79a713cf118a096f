package spoold

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// TypedProducer sends records whose keys and values are of types of the program's: serializers make bytes
// of them. It is a thin layer over a Producer, which may be shared; closing that ends both. Safe
// for concurrent use if its serializers are.
type TypedProducer[K, V any] struct {
	producer *Producer
	key      Serializer[K]
	value    Serializer[V]
}

// NewTypedProducer wraps p. For records without a key let K be struct{} and key be Void().
func NewTypedProducer[K, V any](p *Producer, key Serializer[K], value Serializer[V]) *TypedProducer[K, V] {
	return &TypedProducer[K, V]{p, key, value}
}

// TypedRecord is a Record before its key and value are serialized.
type TypedRecord[K, V any] struct {
	Topic     string
	Partition Partition // as in Record
	Key       K
	Value     V
	Headers   []Header
	Timestamp time.Time // as in Record
}

// TypedBatch is a Batch before its records are serialized.
type TypedBatch[K, V any] struct {
	Records []TypedRecord[K, V]
	Notes   []Note
	Key     string // the idempotency key, as in Batch
}

// SerializationError: a serializer failed, or panicked, which Hooks.Panicked reports, too. Nothing was taken.
type SerializationError struct {
	Topic string
	Part  string // "key" or "value"
	Err   error
}

func (e *SerializationError) Error() string {
	return fmt.Sprintf("serialize the %s of a record for topic %s: %v", e.Part, e.Topic, e.Err)
}
func (e *SerializationError) Unwrap() error { return e.Err }

// Producer is what the records are sent with.
func (p *TypedProducer[K, V]) Producer() *Producer { return p.producer }

// Send is Producer.Send. A *SerializationError: nothing was taken. The context bounds serializers that wait, too.
func (p *TypedProducer[K, V]) Send(ctx context.Context, r TypedRecord[K, V]) (Delivery, error) {
	rec, err := p.serialize(ctx, &r)
	if err != nil {
		return Delivery{}, err
	}
	return p.producer.Send(ctx, rec)
}

// SendFunc is Producer.SendFunc. A *SerializationError: nothing was taken, and f is not called.
func (p *TypedProducer[K, V]) SendFunc(ctx context.Context, r TypedRecord[K, V], f func(Ack, error)) error {
	rec, err := p.serialize(ctx, &r)
	if err != nil {
		return err
	}
	return p.producer.SendFunc(ctx, rec, f)
}

// SendBatch is Producer.SendBatch. A *SerializationError in a *RecordError: nothing of the batch was taken.
func (p *TypedProducer[K, V]) SendBatch(ctx context.Context, b TypedBatch[K, V]) (Deliveries, error) {
	batch := Batch{Records: make([]Record, len(b.Records)), Notes: b.Notes, Key: b.Key}
	for i := range b.Records {
		var err error
		if batch.Records[i], err = p.serialize(ctx, &b.Records[i]); err != nil {
			return Deliveries{}, &RecordError{i, len(b.Records), err}
		}
	}
	return p.producer.SendBatch(ctx, batch)
}

// Record is r with its key and value serialized, for Transaction.Send. A *SerializationError if one of them fails.
func (p *TypedProducer[K, V]) Record(ctx context.Context, r TypedRecord[K, V]) (Record, error) {
	return p.serialize(ctx, &r)
}

func (p *TypedProducer[K, V]) serialize(ctx context.Context, r *TypedRecord[K, V]) (Record, error) {
	// A serializer may append headers, but not write into the caller's array.
	headers := r.Headers[:len(r.Headers):len(r.Headers)]
	out := Record{Topic: r.Topic, Partition: r.Partition, Timestamp: r.Timestamp}
	var err error
	if out.Key, err = serialize(ctx, &p.producer.env.Hooks, p.key, "key", r.Topic, &headers, r.Key); err != nil {
		return Record{}, err
	}
	if out.Value, err = serialize(ctx, &p.producer.env.Hooks, p.value, "value", r.Topic, &headers, r.Value); err != nil {
		return Record{}, err
	}
	out.Headers = headers
	return out, nil
}

func serialize[T any](ctx context.Context, hooks *Hooks, s Serializer[T], part, topic string, headers *[]Header, v T) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the serializer panicked: %v", p)
			call(hooks, hooks.Panicked, Panicked{Where: "serializer", Value: p, Stack: debug.Stack()})
		}
		if err != nil {
			b, err = nil, &SerializationError{Topic: topic, Part: part, Err: err}
		}
	}()
	return s.Serialize(ctx, topic, headers, v)
}
