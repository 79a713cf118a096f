package raw_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
)

func randomSpec(rng *rand.Rand) *raw.Spec {
	s := &raw.Spec{PID: rng.Int64() - rng.Int64(), Epoch: int16(rng.Int32()), Base: rng.Int32N(1 << 20)}
	blob := func() []byte {
		if rng.IntN(4) == 0 {
			return nil
		}
		b := make([]byte, rng.IntN(200))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for range 1 + rng.IntN(8) {
		r := raw.Record{Timestamp: rng.Int64N(1 << 45), Key: blob(), Value: blob()}
		for range rng.IntN(3) {
			r.Headers = append(r.Headers, raw.Header{Key: append([]byte("h"), blob()...), Value: blob()})
		}
		s.Records = append(s.Records, r)
	}
	return s
}

func TestABatchIsReadAsItWasWritten(t *testing.T) {
	for seed := range uint64(500) {
		s := randomSpec(rand.New(rand.NewPCG(seed, 1)))
		written := s.Bytes()
		b, rest, ok := raw.Next(append(bytes.Clone(written), 1, 2, 3))
		if !ok || len(rest) != 3 || !b.Sound() || !bytes.Equal(b, written) {
			t.Fatalf("seed %d: read %v, %d bytes behind it, sound %v", seed, ok, len(rest), b.Sound())
		}
		if b.PID() != s.PID || b.PEpoch() != s.Epoch || b.Sequence() != s.Base || int(b.Count()) != len(s.Records) || b.Last() != int64(len(s.Records)-1) {
			t.Errorf("seed %d: header %v", seed, b[:raw.HeaderSize])
		}
		var got []raw.Record
		if !b.Records(func(_ int, r raw.Record) { got = append(got, r) }) || !reflect.DeepEqual(got, s.Records) {
			t.Errorf("seed %d: records %+v, want %+v", seed, got, s.Records)
		}
	}
}

// kmsg reads batches with code of its own.
func TestAnotherReaderSeesTheSameBatch(t *testing.T) {
	for seed := range uint64(500) {
		s := randomSpec(rand.New(rand.NewPCG(seed, 2)))
		b := raw.Batch(s.Bytes())
		b.Place(77, 5)
		b.Stamp(99, true)
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if k.FirstOffset != 77 || k.PartitionLeaderEpoch != 5 || k.ProducerID != s.PID || k.FirstSequence != s.Base || int(k.NumRecords) != len(s.Records) ||
			k.MaxTimestamp != 99 || k.Attributes != raw.AppendTime || uint32(k.CRC) != sumOf(b) || !b.Sound() {
			t.Errorf("seed %d: kmsg reads %+v", seed, k)
		}
	}
}

func sumOf(b raw.Batch) uint32 {
	return uint32(b[17])<<24 | uint32(b[18])<<16 | uint32(b[19])<<8 | uint32(b[20])
}

func TestEachLieIsTold(t *testing.T) {
	one := func(change func(*raw.Spec)) raw.Batch {
		s := &raw.Spec{Records: []raw.Record{{Timestamp: 1, Value: []byte("v")}, {Timestamp: 2}}}
		change(s)
		return raw.Batch(s.Bytes())
	}
	whole := func(b raw.Batch) bool { return b.Records(func(int, raw.Record) {}) }
	if b := one(func(s *raw.Spec) { s.BadSum = true }); b.Sound() || !whole(b) {
		t.Error("a bad sum is not bad, or more than the sum is")
	}
	if b := one(func(s *raw.Spec) { s.AddCount = 1 }); b.Count() != 3 || whole(b) || !b.Sound() {
		t.Error("one record more is said, and nothing is wrong")
	}
	if b := one(func(s *raw.Spec) { s.AddCount = -1 }); b.Count() != 1 || whole(b) {
		t.Error("one record less is said, and nothing is wrong")
	}
	if b := one(func(s *raw.Spec) { s.AddDelta = 2 }); b.LastDelta() != 3 {
		t.Error("the last offset delta is true")
	}
	if b := one(func(s *raw.Spec) { s.Cut = 1 }); whole(b) || !b.Sound() {
		t.Error("a record lacks its end and can be read, or the sum is of something else")
	}
	if b := one(func(s *raw.Spec) { s.Junk = 2 }); whole(b) {
		t.Error("there is something behind the last record, and it is not noticed")
	}
	if b := one(func(s *raw.Spec) { s.Offset = 5; s.Flags = raw.Control }); b.Base() != 5 || !b.Is(raw.Control) || b.Is(raw.Transactional) {
		t.Error("base offset or flags are not as told")
	}
}

func TestTheLastSequenceWraps(t *testing.T) {
	for _, tt := range []struct {
		base int32
		n    int
		want int32
	}{{0, 1, 0}, {5, 3, 7}, {1<<31 - 1, 1, 1<<31 - 1}, {1<<31 - 1, 2, 0}, {1<<31 - 2, 5, 2}, {-1, 3, -1}} {
		s := raw.Spec{Base: tt.base, Records: make([]raw.Record, tt.n)}
		if got := raw.Batch(s.Bytes()).LastSequence(); got != tt.want {
			t.Errorf("base %d and %d records: last sequence %d, want %d", tt.base, tt.n, got, tt.want)
		}
	}
}

// Whatever the bytes, reading ends and takes nothing that is not there.
func TestSpoiledBytesAreReadToTheirEndAndNoFurther(t *testing.T) {
	for seed := range uint64(20_000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		log := append(randomSpec(rng).Bytes(), randomSpec(rng).Bytes()...)
		for range rng.IntN(6) {
			log[rng.IntN(len(log))] = byte(rng.Uint32())
		}
		log = log[:rng.IntN(len(log)+1)]
		for rest := log; ; {
			b, more, ok := raw.Next(rest)
			if !ok {
				break
			}
			if len(b)+len(more) != len(rest) || len(b) < raw.HeaderSize {
				t.Fatalf("seed %d: %d bytes are a batch of %d and %d more", seed, len(rest), len(b), len(more))
			}
			size := 0
			b.Records(func(_ int, r raw.Record) {
				size += len(r.Key) + len(r.Value)
				for _, h := range r.Headers {
					size += len(h.Key) + len(h.Value)
				}
			})
			if size > len(b) {
				t.Fatalf("seed %d: a batch of %d bytes has records of %d", seed, len(b), size)
			}
			rest = more
		}
	}
}
