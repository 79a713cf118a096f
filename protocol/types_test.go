package protocol

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestSequenceWrapsTo0After2147483647(t *testing.T) {
	for _, tt := range []struct {
		from Sequence
		n    int
		want Sequence
	}{
		{0, 0, 0},
		{0, 1, 1},
		{math.MaxInt32, 0, math.MaxInt32},
		{math.MaxInt32, 1, 0},
		{math.MaxInt32, 5, 4},
		{math.MaxInt32 - 4, 5, 0},
		{math.MaxInt32 - 4, 4, math.MaxInt32},
		{7, math.MaxInt32, 6},
		{math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := tt.from.Next(tt.n); got != tt.want {
			t.Errorf("Sequence(%d).Next(%d) = %d, want %d", tt.from, tt.n, got, tt.want)
		}
		if got := tt.from.Distance(tt.want); got != tt.n {
			t.Errorf("Sequence(%d).Distance(%d) = %d, want %d", tt.from, tt.want, got, tt.n)
		}
	}
}

func TestBatchAcrossTheWrapEndsWhereKafkaSaysItDoes(t *testing.T) {
	// Five records: 2147483646, 2147483647, 0, 1, 2; the next batch begins at 3.
	const base Sequence = math.MaxInt32 - 1
	if got := base.Last(5); got != 2 {
		t.Errorf("last sequence of five records at %d = %d, want 2", base, got)
	}
	if got := base.Next(5); got != 3 {
		t.Errorf("sequence after five records at %d = %d, want 3", base, got)
	}
	batch := testBatch(t, BatchHeader{Identity: ProducerIdentity{1, 2}, Base: base}, 5)
	h, _, _, err := NextBatchHeader(batch)
	if err != nil || h.Base != base || h.LastSequence() != 2 {
		t.Errorf("batch over the wrap reads back as base %d, last %d, err %v; want %d, 2, nil", h.Base, h.LastSequence(), err, base)
	}
}

// kafkaIncrement is DefaultRecordBatch.incrementSequence as Kafka writes it.
func kafkaIncrement(sequence, increment int32) int32 {
	if sequence > math.MaxInt32-increment {
		return increment - (math.MaxInt32 - sequence) - 1
	}
	return sequence + increment
}

// Law: sequences are the numbers modulo 2147483648, in integers that cannot overflow; addition
// associates, Distance undoes Next, the sequence behind the last of a batch begins the next one; and
// where Kafka's own increment is defined it says the same.
func FuzzSequenceAdditionAssociates(f *testing.F) {
	f.Add(int32(0), uint32(0), uint32(0))
	f.Add(int32(math.MaxInt32), uint32(1), uint32(math.MaxInt32))
	f.Add(int32(math.MaxInt32-2), uint32(2), uint32(2))
	circle := big.NewInt(1 << 31)
	number := func(v *big.Int) int64 { return v.Mod(v, circle).Int64() } // never negative
	f.Fuzz(func(t *testing.T, from int32, x, y uint32) {
		seq := Sequence(from & math.MaxInt32)
		a, b := int(x&math.MaxInt32), int(y&math.MaxInt32)
		if got, want := int64(seq.Next(a)), number(new(big.Int).Add(big.NewInt(int64(seq)), big.NewInt(int64(a)))); got != want {
			t.Fatalf("Sequence(%d).Next(%d) = %d, want %d", seq, a, got, want)
		}
		to := Sequence(b)
		if got, want := int64(seq.Distance(to)), number(new(big.Int).Sub(big.NewInt(int64(to)), big.NewInt(int64(seq)))); got != want {
			t.Fatalf("Sequence(%d).Distance(%d) = %d, want %d", seq, to, got, want)
		}
		if got := seq.Next(seq.Distance(to)); got != to {
			t.Fatalf("Sequence(%d).Next(Distance(%d)) = %d", seq, to, got)
		}
		if one, two := seq.Next(a+b), seq.Next(a).Next(b); one != two {
			t.Fatalf("Sequence(%d).Next(%d+%d) = %d, but Next(%d).Next(%d) = %d", seq, a, b, one, a, b, two)
		}
		if got, want := seq.Next(a), Sequence(kafkaIncrement(int32(seq), int32(a))); got != want {
			t.Fatalf("Sequence(%d).Next(%d) = %d, Kafka has %d", seq, a, got, want)
		}
		if got := seq.Distance(seq.Next(a)); got != a {
			t.Fatalf("Sequence(%d).Distance(Next(%d)) = %d", seq, a, got)
		}
		if a == 0 {
			return
		}
		if seq.Last(a).Next(1) != seq.Next(a) {
			t.Fatalf("the sequence after Last(%d) of %d is %d, Next says %d", a, seq, seq.Last(a).Next(1), seq.Next(a))
		}
		h := BatchHeader{Base: seq, Count: int32(a), LastOffsetDelta: int32(a - 1)}
		if h.LastSequence() != seq.Last(a) {
			t.Fatalf("a batch of %d records from %d ends at %d, Last says %d", a, seq, h.LastSequence(), seq.Last(a))
		}
	})
}

func TestProducerEpochMinusOneWithAProducerIDIsNotValid(t *testing.T) {
	for _, tt := range []struct {
		id   ProducerIdentity
		want bool
	}{
		{ProducerIdentity{5, 0}, true}, {ProducerIdentity{0, MaxProducerEpoch}, true},
		{ProducerIdentity{5, -1}, false}, {ProducerIdentity{-1, 0}, false}, {NoIdentity, false},
	} {
		if got := tt.id.Valid(); got != tt.want {
			t.Errorf("%v.Valid() = %v, want %v", tt.id, got, tt.want)
		}
	}
}

// newRand prints how to run the test again with the same seed.
func newRand(t testing.TB, seed uint64) *rand.Rand {
	t.Logf("seed %d (fixed: go test -run '^%s$' ./protocol)", seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0))
}
