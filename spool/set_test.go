package spool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// slowSet is a Set as anybody would write it.
type slowSet map[Index]bool

func (m slowSet) add(sp Span) int {
	n := 0
	for i := sp.First; i < sp.End; i++ {
		if !m[i] {
			n++
		}
		m[i] = true
	}
	return n
}

func (m slowSet) low() Index {
	i := Index(0)
	for m[i] {
		i++
	}
	return i
}

func (m slowSet) spans(end Index) (out []Span) {
	for i := Index(0); i < end; i++ {
		if !m[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End == i {
			out[n-1].End++
		} else {
			out = append(out, Span{i, i + 1})
		}
	}
	return out
}

// step does one operation on both, and compares all that can be asked.
func step(s *Set, m slowSet, op byte, sp Span, end Index) error {
	switch op % 4 {
	case 0, 1, 2:
		if got, want := s.Add(sp), m.add(sp); got != want {
			return fmt.Errorf("Add(%v) = %d, want %d", sp, got, want)
		}
	case 3:
		s.Remove(sp)
		for i := sp.First; i < sp.End; i++ {
			delete(m, i)
		}
	}
	if s.Low() != m.low() {
		return fmt.Errorf("after %d %v: Low = %d, want %d", op%4, sp, s.Low(), m.low())
	}
	if got, want := s.CountIn(Span{0, end}), len(m); got != want {
		return fmt.Errorf("after %d %v: %d in the set, want %d", op%4, sp, got, want)
	}
	var spans []Span
	s.Spans(func(sp Span) bool { spans = append(spans, sp); return true })
	if want := m.spans(end); !slices.Equal(spans, want) {
		return fmt.Errorf("after %d %v: Spans = %v, want %v", op%4, sp, spans, want)
	}
	for _, i := range []Index{sp.First, sp.End, sp.First / 2, sp.End + 1} {
		next := i
		for m[next] {
			next++
		}
		if s.Contains(i) != m[i] || s.NextAbsent(i) != next {
			return fmt.Errorf("at %d: Contains %v, NextAbsent %d; want %v, %d", i, s.Contains(i), s.NextAbsent(i), m[i], next)
		}
	}
	for k, c := range s.chunks {
		if *c == (chunk{}) || Index(k+1)<<chunkShift <= s.low {
			return fmt.Errorf("chunk %d is kept for nothing, low is %d", k, s.low)
		}
	}
	return nil
}

func TestSetDoesWhatASlowSetDoes(t *testing.T) {
	seed := rand.Uint64()
	if v := os.Getenv("SPOOL_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("replay: SPOOL_SEED=%d go test ./spool -run TestSetDoesWhatASlowSetDoes", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		s, m := NewSet(0), slowSet{}
		const end = 3 * chunkBits
		for range 60 {
			first := Index(rng.IntN(end))
			if rng.IntN(3) == 0 {
				first = s.Low() + Index(rng.IntN(3))
			}
			if rng.IntN(4) == 0 {
				first = first &^ (chunkBits - 1)
			}
			sp := Span{first, min(first+Index(rng.IntN(1+rng.IntN(2*chunkBits))), end)}
			if sp.End < sp.First {
				sp.End = sp.First
			}
			if err := step(s, m, byte(rng.IntN(8)), sp, end); err != nil {
				t.Fatal(err)
			}
		}
		clone := s.Clone()
		clone.Add(Span{0, end})
		if s.CountIn(Span{0, end}) != len(m) {
			t.Fatal("a clone shares bits with the set")
		}
		again := NewSet(s.Low())
		for _, k := range s.keys() {
			b, _ := s.appendChunk(nil, k)
			if err := again.loadChunk(k, b, end); err != nil {
				t.Fatalf("loadChunk(%d): %v", k, err)
			}
		}
		if again.CountIn(Span{0, end}) != len(m) {
			t.Fatal("stored and loaded, the set is another")
		}
	}
}

func FuzzSet(f *testing.F) {
	f.Add([]byte{0, 0, 0, 10, 0, 3, 5, 0, 2, 0, 1, 8, 0, 9, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		s, m := NewSet(0), slowSet{}
		const end = 2 * chunkBits
		for len(ops) >= 5 && len(m) < 4*end {
			first := Index(ops[1])<<8 | Index(ops[2])
			first %= end
			sp := Span{first, min(first+Index(ops[3])<<4+Index(ops[4]), end)}
			if err := step(s, m, ops[0], sp, end); err != nil {
				t.Fatal(err)
			}
			ops = ops[5:]
		}
	})
}

func TestSetOfFarIndexesIsCheap(t *testing.T) {
	s := NewSet(0)
	s.Add(Span{1 << 50, 1<<50 + 10})
	s.Add(Span{0, 1 << 49})
	if got := s.CountIn(Span{0, 1 << 51}); got != 1<<49+10 {
		t.Errorf("CountIn = %d", got)
	}
}
