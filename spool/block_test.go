package spool

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// twoLanes is a block of 3 and 2 entries, as long as their names are.
func twoLanes() []byte {
	b := append(make([]byte, BlockHeader), "onetwothreefourfive"...)
	return SealBlock(b, 7, []BlockSection{
		{Lane: 3, Spans: []Span{{First: 5, End: 8}}, Off: BlockHeader, Len: 11},
		{Lane: math.MaxUint32, Spans: []Span{{First: 0, End: 1}, {First: 9, End: 10}}, Off: BlockHeader + 11, Len: 8},
	})
}

func TestABlocksDirectorySaysWhereItsEntriesAre(t *testing.T) {
	b := twoLanes()
	sections, err := BlockDirectory(b, 7)
	if err != nil || len(sections) != 2 {
		t.Fatalf("%d sections, %v", len(sections), err)
	}
	for i, want := range []string{"onetwothree", "fourfive"} {
		s := &sections[i]
		if got := b[s.Off : s.Off+s.Len]; string(got) != want || s.Check(got) != nil {
			t.Errorf("section %d holds %q, want %q", i, got, want)
		}
		if s.Check([]byte(want[1:])) == nil || s.Check(bytes.ToUpper([]byte(want))) == nil {
			t.Errorf("section %d takes other bytes for its entries", i)
		}
	}
	if sections[1].Lane != math.MaxUint32 || sections[0].Count() != 3 || !slices.Equal(sections[1].Spans, []Span{{First: 0, End: 1}, {First: 9, End: 10}}) {
		t.Errorf("%+v", sections)
	}
	if _, err := BlockDirectory(b, 8); err == nil {
		t.Error("a block was read under another number")
	}
}

// Its last bytes are enough to know how much more is to be read.
func TestABlocksTailIsToldFromItsLastBytes(t *testing.T) {
	b := twoLanes()
	n := BlockTail(b[len(b)-blockFooter:])
	if n <= blockFooter || BlockTail(b) != n || BlockTail(b[len(b)-blockFooter+1:]) != 0 {
		t.Fatalf("%d bytes by the last %d, %d by all, %d by less", n, blockFooter, BlockTail(b), BlockTail(b[len(b)-blockFooter+1:]))
	}
	if sections, err := ParseBlockDirectory(b[:BlockHeader], b[len(b)-n:], len(b), 7); err != nil || len(sections) != 2 {
		t.Errorf("%d sections, %v", len(sections), err)
	}
}

// A directory that claims to be longer than its block is refused, by whatever it does so.
func TestADirectoryLongerThanItsBlockIsRefused(t *testing.T) {
	good := twoLanes()
	most := len(good) - BlockHeader - blockFooter
	for n := most - 2; n < len(good)+2*(BlockHeader+blockFooter); n++ {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[len(b)-blockFooter:], uint32(n))
		if _, err := BlockDirectory(b, 7); err == nil {
			t.Errorf("a directory of %d bytes was read in a block of %d", n, len(b))
		}
	}
	for n := range good {
		if _, err := BlockDirectory(good[:n], 7); err == nil {
			t.Errorf("a block cut to %d of %d bytes was read", n, len(good))
		}
	}
}
