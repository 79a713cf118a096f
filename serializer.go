package spoold

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
)

// Serializer makes the bytes of a key or a value.
type Serializer[T any] interface {
	// Serialize returns the bytes of v for a record of that topic; nil is Kafka's null. It may append to
	// headers. It runs on the goroutine of Send, and is called by many at once. With an error nothing is sent.
	Serialize(ctx context.Context, topic string, headers *[]Header, v T) ([]byte, error)
}

// SerializerFunc is a Serializer that is a function.
type SerializerFunc[T any] func(ctx context.Context, topic string, headers *[]Header, v T) ([]byte, error)

// Serialize calls f.
func (f SerializerFunc[T]) Serialize(ctx context.Context, topic string, headers *[]Header, v T) ([]byte, error) {
	return f(ctx, topic, headers, v)
}

// plain is a Serializer that cannot fail and needs only the value.
type plain[T any] func(T) []byte

func (f plain[T]) Serialize(_ context.Context, _ string, _ *[]Header, v T) ([]byte, error) {
	return f(v), nil
}

// The serializers below write the bytes that Apache Kafka's own of the same kind do
// (org.apache.kafka.common.serialization), so that its deserializers read them.

// Bytes writes bytes as they are; nil is null.
func Bytes() Serializer[[]byte] { return plain[[]byte](func(v []byte) []byte { return v }) }

// String writes a string's bytes (UTF-8, by Go's convention). The empty string is not null.
func String() Serializer[string] {
	return plain[string](func(v string) []byte { return append([]byte{}, v...) })
}

// Int16 writes two bytes, big-endian (ShortSerializer).
func Int16() Serializer[int16] {
	return plain[int16](func(v int16) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) })
}

// Int32 writes four bytes, big-endian (IntegerSerializer).
func Int32() Serializer[int32] {
	return plain[int32](func(v int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) })
}

// Int64 writes eight bytes, big-endian (LongSerializer).
func Int64() Serializer[int64] {
	return plain[int64](func(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) })
}

// Float32 writes IEEE 754, big-endian (FloatSerializer).
func Float32() Serializer[float32] {
	return plain[float32](func(v float32) []byte { return binary.BigEndian.AppendUint32(nil, math.Float32bits(v)) })
}

// Float64 writes IEEE 754, big-endian (DoubleSerializer).
func Float64() Serializer[float64] {
	return plain[float64](func(v float64) []byte { return binary.BigEndian.AppendUint64(nil, math.Float64bits(v)) })
}

// Bool writes one byte, 1 or 0 (BooleanSerializer).
func Bool() Serializer[bool] {
	return plain[bool](func(v bool) []byte {
		if v {
			return []byte{1}
		}
		return []byte{0}
	})
}

// UUID writes the 36 characters of a UUID's text in lower case, such as 123e4567-e89b-12d3-a456-426614174000.
func UUID() Serializer[[16]byte] { return plain[[16]byte](uuidText) }

// Void writes null always.
func Void() Serializer[struct{}] { return plain[struct{}](func(struct{}) []byte { return nil }) }

func uuidText(v [16]byte) []byte {
	b := make([]byte, 36)
	hex.Encode(b[0:8], v[0:4])
	hex.Encode(b[9:13], v[4:6])
	hex.Encode(b[14:18], v[6:8])
	hex.Encode(b[19:23], v[8:10])
	hex.Encode(b[24:36], v[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return b
}

// JSON is encoding/json. A nil pointer, map or slice becomes the four characters null, which is not
// Kafka's null: use Nullable for that.
func JSON[T any]() Serializer[T] {
	return SerializerFunc[T](func(_ context.Context, _ string, _ *[]Header, v T) ([]byte, error) { return json.Marshal(v) })
}

// Nullable makes a nil pointer Kafka's null (a tombstone, or no key), and passes on what any other one points to.
func Nullable[T any](s Serializer[T]) Serializer[*T] {
	return SerializerFunc[*T](func(ctx context.Context, topic string, headers *[]Header, v *T) ([]byte, error) {
		if v == nil {
			return nil, nil
		}
		return s.Serialize(ctx, topic, headers, *v)
	})
}
