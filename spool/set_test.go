package spool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/spoold/spoold/integration/program"
)

// slowSet is a Set as anybody would write it, of the indexes below its length.
type slowSet []bool

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

func (m slowSet) has(i Index) bool { return int(i) < len(m) && m[i] }

func (m slowSet) count(sp Span) (n int) {
	for i := sp.First; i < sp.End; i++ {
		if m.has(i) {
			n++
		}
	}
	return n
}

func (m slowSet) absent(from Index) Index {
	for m.has(from) {
		from++
	}
	return from
}

func (m slowSet) spans() (out []Span) {
	for i, in := range m {
		if !in {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End == Index(i) {
			out[n-1].End++
		} else {
			out = append(out, Span{Index(i), Index(i) + 1})
		}
	}
	return out
}

// step does one operation on both, and compares all that can be asked.
func step(s *Set, m slowSet, op byte, sp Span) error {
	switch op % 4 {
	case 0, 1, 2:
		if got, want := s.Add(sp), m.add(sp); got != want {
			return fmt.Errorf("Add(%v) = %d, want %d", sp, got, want)
		}
	case 3:
		s.Remove(sp)
		for i := sp.First; i < sp.End; i++ {
			m[i] = false
		}
	}
	if s.Low() != m.absent(0) {
		return fmt.Errorf("after %d %v: Low = %d, want %d", op%4, sp, s.Low(), m.absent(0))
	}
	for _, in := range []Span{sp, {max(sp.First, 60) - 60, sp.End + 1}, {sp.End, sp.End + 70}} {
		if got, want := s.CountIn(in), m.count(in); got != want {
			return fmt.Errorf("after %d %v: %d of %v are in the set, want %d", op%4, sp, got, in, want)
		}
	}
	for _, i := range []Index{sp.First, sp.End, sp.First / 2, sp.End + 1} {
		if s.Contains(i) != m.has(i) || s.NextAbsent(i) != m.absent(i) {
			return fmt.Errorf("at %d: Contains %v, NextAbsent %d; want %v, %d", i, s.Contains(i), s.NextAbsent(i), m.has(i), m.absent(i))
		}
	}
	return nil
}

// sameSet compares the runs of both, and what s keeps them in.
func sameSet(s *Set, m slowSet) error {
	end := Index(len(m))
	if got, want := s.CountIn(Span{0, end + 70}), m.count(Span{0, end}); got != want {
		return fmt.Errorf("%d are in the set, want %d", got, want)
	}
	var spans []Span
	s.Spans(func(sp Span) bool { spans = append(spans, sp); return true })
	if want := m.spans(); !slices.Equal(spans, want) {
		return fmt.Errorf("Spans = %v, want %v", spans, want)
	}
	for k, c := range s.chunks {
		if *c == (chunk{}) || Index(k+1)<<chunkShift <= s.low {
			return fmt.Errorf("chunk %d is kept for nothing, low is %d", k, s.low)
		}
	}
	return nil
}

// stored is s as a start finds it.
func stored(s *Set, end Index) (*Set, error) {
	again := NewSet(s.Low())
	for _, k := range s.keys() {
		b, _ := s.appendChunk(nil, k)
		if err := again.loadChunk(k, b, end); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", k, err)
		}
	}
	return again, nil
}

func TestSetDoesWhatASlowSetDoes(t *testing.T) {
	seed := rand.Uint64()
	if v := os.Getenv("SPOOL_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("replay: SPOOL_SEED=%d go test ./spool -run TestSetDoesWhatASlowSetDoes", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		const end = 3 * chunkBits
		s, m := NewSet(0), make(slowSet, end)
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
			err := step(s, m, byte(rng.IntN(8)), sp)
			if err == nil {
				err = sameSet(s, m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		clone := s.Clone()
		clone.Add(Span{0, end})
		if err := sameSet(s, m); err != nil {
			t.Fatalf("a clone shares bits with the set: %v", err)
		}
		again, err := stored(s, end)
		if err == nil {
			err = sameSet(again, m)
		}
		if err != nil {
			t.Fatalf("stored and loaded: %v", err)
		}
	}
}

// FuzzASetDoesWhatASlowSetDoes reads its input as additions and removals, clones and starts.
//
// Law: whatever is asked, a set says what a row of bits says; it keeps no chunk for nothing; a clone
// shares nothing with it; and stored and loaded it is the same.
func FuzzASetDoesWhatASlowSetDoes(f *testing.F) {
	f.Add([]byte{0, 0, 0, 10, 0, 3, 5, 0, 2, 0, 1, 8, 0, 9, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		const end = 2*chunkBits + 100
		p := program.New(script)
		s, m := NewSet(0), make(slowSet, end)
		for i := 0; i < 64 && p.More(); i++ {
			op := p.Byte()
			if err := step(s, m, op, anySpan(p, s, end)); err != nil {
				t.Fatal(err)
			}
			switch op >> 4 {
			case 14: // what is done to the one must not reach the other
				old := s
				s = s.Clone()
				old.Add(Span{0, end})
				old.Remove(Span{1, end - 1})
			case 15:
				again, err := stored(s, end)
				if err != nil {
					t.Fatal(err)
				}
				s = again
			default:
				if i%8 != 7 {
					continue // it costs
				}
			}
			if err := sameSet(s, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := sameSet(s, m); err != nil {
			t.Fatal(err)
		}
	})
}

// anySpan lies anywhere, or where a Set has its seams: at low, at a word's or a chunk's end.
func anySpan(p *program.Program, s *Set, end Index) Span {
	var first Index
	switch p.Below(4) {
	case 0:
		first = s.Low() + Index(p.Below(3))
	case 1:
		first = Index(p.Below(3)) * chunkBits
	case 2:
		first = Index(p.Below(int(end)/64)) * 64
	case 3:
		first = Index(p.Below(int(end)))
	}
	n := Index(p.Below(130))
	if p.Below(4) == 0 {
		n = Index(p.Below(int(end)))
	}
	first = min(first, end)
	return Span{first, min(first+n, end)}
}

func TestSetOfFarIndexesIsCheap(t *testing.T) {
	s := NewSet(0)
	s.Add(Span{1 << 50, 1<<50 + 10})
	s.Add(Span{0, 1 << 49})
	if got := s.CountIn(Span{0, 1 << 51}); got != 1<<49+10 {
		t.Errorf("CountIn = %d", got)
	}
}

// One record is stuck while others pass: what that costs in memory and in the state does not grow with every record.
func TestOneStuckRecordCostsLittleHoweverManyPassIt(t *testing.T) {
	const passed = 134_000_000
	st, out := NewState(), &Changes{}
	if err := st.AddLane(NewLane{0, "a"}, out); err != nil {
		t.Fatal(err)
	}
	st.Append(0, passed+1)
	for first := Index(1); first <= passed; first += 1_000_000 {
		end := min(first+1_000_000, passed+1)
		if err := st.Apply(&Write{Settle: []Settlement{{Lane: 0, Spans: []Span{{first, end}}, Outcome: OutcomeAcked}}}, out); err != nil {
			t.Fatal(err)
		}
		st.Flush(out)
		out.List = out.List[:0]
	}
	state, memory := 0, 0
	set := st.Settled(0)
	for _, key := range set.keys() {
		b, _ := set.appendChunk(nil, key)
		state += len(b) + 13 // its key
		if set.chunks[key] != full {
			memory += chunkBytes
		}
	}
	t.Logf("1 pending, %d passed: %d bytes of state, %d chunks, %d bytes of bits in memory", passed, state, len(set.chunks), memory)
	if state > passed/200 || memory > 4*chunkBytes {
		t.Errorf("%d bytes of state and %d bytes of bits for one pending record", state, memory)
	}
}
