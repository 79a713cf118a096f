package spoold_test

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func bytesOf[T any](t *testing.T, s spoold.Serializer[T], v T) string {
	t.Helper()
	b, err := s.Serialize(context.Background(), "t", new([]spoold.Header), v)
	if err != nil {
		t.Errorf("Serialize(%v) = %v", v, err)
	}
	if b == nil {
		return "null"
	}
	return hex.EncodeToString(b)
}

// The bytes are those that Kafka's serializers of the same kind write.
func TestReadyMadeSerializersWriteKafkasBytes(t *testing.T) {
	seven := int32(7)
	for name, got := range map[string][2]string{
		"nil bytes":    {bytesOf(t, spoold.Bytes(), nil), "null"},
		"no bytes":     {bytesOf(t, spoold.Bytes(), []byte{}), ""},
		"bytes":        {bytesOf(t, spoold.Bytes(), []byte{1, 2}), "0102"},
		"string":       {bytesOf(t, spoold.String(), "é"), "c3a9"},
		"empty string": {bytesOf(t, spoold.String(), ""), ""},
		"int16":        {bytesOf(t, spoold.Int16(), -2), "fffe"},
		"int32":        {bytesOf(t, spoold.Int32(), math.MinInt32), "80000000"},
		"int64":        {bytesOf(t, spoold.Int64(), 258), "0000000000000102"},
		"float32":      {bytesOf(t, spoold.Float32(), 1.5), "3fc00000"},
		"float64":      {bytesOf(t, spoold.Float64(), -1), "bff0000000000000"},
		"bool":         {bytesOf(t, spoold.Bool(), true) + bytesOf(t, spoold.Bool(), false), "0100"},
		"uuid":         {bytesOf(t, spoold.UUID(), [16]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0}), hex.EncodeToString([]byte("123e4567-e89b-12d3-a456-426614174000"))},
		"void":         {bytesOf(t, spoold.Void(), struct{}{}), "null"},
		"json":         {bytesOf(t, spoold.JSON[map[string]int](), map[string]int{"n": 1}), hex.EncodeToString([]byte(`{"n":1}`))},
		"json null":    {bytesOf(t, spoold.JSON[map[string]int](), nil), hex.EncodeToString([]byte("null"))},
		"nil pointer":  {bytesOf(t, spoold.Nullable(spoold.Int32()), nil), "null"},
		"pointer":      {bytesOf(t, spoold.Nullable(spoold.Int32()), &seven), "00000007"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s", name, got[0], got[1])
		}
	}
}

func TestATypedProducerSendsWhatItsSerializersMake(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir())
	value := spoold.SerializerFunc[string](func(_ context.Context, topic string, headers *[]spoold.Header, v string) ([]byte, error) {
		*headers = append(*headers, spoold.Header{Key: "for", Value: []byte(topic)})
		return []byte(v), nil
	})
	typed := spoold.NewTypedProducer(p, spoold.Int32(), spoold.Nullable[string](value))
	own := make([]spoold.Header, 1, 2)
	own[0] = spoold.Header{Key: "own"}
	one, two := "one", "two"
	if _, err := typed.Send(patient(t), spoold.TypedRecord[int32, *string]{Topic: "t", Key: 1, Value: &one, Headers: own}); err != nil {
		t.Fatal(err)
	}
	if own[:2][1].Key != "" {
		t.Error("the serializer wrote into the caller's array of headers")
	}
	called := make(chan error, 1)
	if err := typed.SendFunc(patient(t), spoold.TypedRecord[int32, *string]{Topic: "t", Key: 2}, func(_ spoold.Ack, err error) { called <- err }); err != nil {
		t.Fatal(err)
	}
	if _, err := typed.SendBatch(patient(t), spoold.TypedBatch[int32, *string]{Records: []spoold.TypedRecord[int32, *string]{{Topic: "t", Key: 3, Value: &two}}}); err != nil {
		t.Fatal(err)
	}
	if err := typed.Producer().Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-called; err != nil {
		t.Errorf("callback = %v", err)
	}
	records := c.read(t, "t", 3)
	if string(records[0].Value) != "one" || string(records[0].Key) != "\x00\x00\x00\x01" || len(records[0].Headers) != 2 || string(records[0].Headers[1].Value) != "t" {
		t.Errorf("first record %+v", records[0])
	}
	if records[1].Value != nil || len(records[1].Headers) != 0 || string(records[2].Value) != "two" {
		t.Errorf("records %+v, %+v", records[1], records[2])
	}
}

func TestAFailingSerializerLeavesNothingQueued(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	var panicked []spoold.Panicked
	p := c.openEnv(t, t.TempDir(), spoold.Env{Hooks: spoold.Hooks{Panicked: func(e spoold.Panicked) { panicked = append(panicked, e) }}})
	no := errors.New("no")
	value := spoold.SerializerFunc[int](func(_ context.Context, _ string, _ *[]spoold.Header, v int) ([]byte, error) {
		switch v {
		case 1:
			return []byte("half"), no
		case 2:
			panic("oh")
		}
		return []byte("v"), nil
	})
	typed := spoold.NewTypedProducer(p, spoold.Void(), value)
	type record = spoold.TypedRecord[struct{}, int]
	_, failed := typed.Send(patient(t), record{Topic: "t", Value: 1})
	var s *spoold.SerializationError
	if !errors.As(failed, &s) || s.Part != "value" || s.Topic != "t" || !errors.Is(failed, no) || spoold.ExitCode(failed) != spoold.ExitProblem {
		t.Errorf("Send = %v", failed)
	}
	if err := typed.SendFunc(patient(t), record{Topic: "t", Value: 2}, func(spoold.Ack, error) { t.Error("called") }); !errors.As(err, &s) || !strings.Contains(err.Error(), "panicked: oh") {
		t.Errorf("SendFunc = %v", err)
	}
	if len(panicked) != 1 || panicked[0].Where != "serializer" || panicked[0].Value != "oh" || !strings.Contains(string(panicked[0].Stack), "typed_test.go") {
		t.Errorf("the panic was reported as %+v", panicked)
	}
	var at *spoold.RecordError
	if _, err := typed.SendBatch(patient(t), spoold.TypedBatch[struct{}, int]{Records: []record{{Topic: "t"}, {Topic: "t", Value: 1}}}); !errors.As(err, &s) || !errors.As(err, &at) || at.Index != 1 || at.Of != 2 ||
		!strings.HasPrefix(err.Error(), "record 1 of 2: serialize") {
		t.Errorf("SendBatch = %v", err)
	}
	if n := p.Status().Accepted; n != 0 {
		t.Errorf("%d records were taken", n)
	}
	if _, err := typed.Record(patient(t), record{Topic: "t", Value: 1}); !errors.As(err, &s) {
		t.Errorf("Record = %v", err)
	}
	if r, err := typed.Record(patient(t), record{Topic: "t"}); err != nil || r.Topic != "t" || string(r.Value) != "v" {
		t.Errorf("Record = %+v, %v", r, err)
	}
}
