package program

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

func TestAProgramEndsAndItsDecisionsAreInRange(t *testing.T) {
	p := New(bytes.Repeat([]byte{251, 7, 130, 66}, 50))
	for i := 0; p.More(); i++ {
		if i > 400 {
			t.Fatal("it does not end")
		}
		for _, n := range []int{1, 2, 200, 256, 257, 1 << 16, 1<<16 + 1, math.MaxInt32} {
			if got := p.Below(n); got < 0 || got >= n {
				t.Fatalf("Below(%d) = %d", n, got)
			}
		}
		if b := p.Bytes(300); len(b) > 300 {
			t.Fatalf("%d bytes, at most 300 were asked for", len(b))
		}
	}
	if p.Byte() != 0 || p.Yes() || p.Below(9) != 0 || p.Int64() != 0 || p.Bytes(5) != nil || p.Below(0) != 0 {
		t.Error("behind its end a program decides something")
	}
}

func TestSmallNumbersAndEdgesAreOneByteAway(t *testing.T) {
	var got []int64
	for b := range 256 {
		got = append(got, New([]byte{byte(b)}).Int64())
	}
	for _, want := range []int64{0, 1, 100, -1, math.MaxInt16, math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MaxInt64, math.MinInt64} {
		if !slices.Contains(got, want) {
			t.Errorf("no single byte means %d", want)
		}
	}
}

func TestNullAndEmptyBytesAreNotTheSame(t *testing.T) {
	if b := New([]byte{0}).Bytes(9); b != nil {
		t.Errorf("0 means %#v, want null", b)
	}
	if b := New([]byte{1}).Bytes(9); b == nil || len(b) != 0 {
		t.Errorf("1 means %#v, want empty", b)
	}
	if b := New([]byte{4, 7, 8}).Bytes(9); !bytes.Equal(b, []byte{7, 8, 0}) {
		t.Errorf("4 7 8 means %v, want 7 8 and a zero for the byte that is missing", b)
	}
}
