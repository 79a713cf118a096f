package bolt

import (
	"slices"
	"testing"
)

// What a growing buffer leaves behind is garbage, and groups are the larger part of it: a buffer doubles up to a full group, and what goes
// beyond that is as large as it has to be.
func TestABufferOfAGroupDoublesUpToAFullGroup(t *testing.T) {
	sect := &section{buf: make([]byte, 100)}
	sizes := []int{cap(sect.buf)}
	for len(sect.buf) < 1000 {
		sect.reserve(50, 1000)
		sect.buf = append(sect.buf, make([]byte, 50)...)
		if c := cap(sect.buf); c != sizes[len(sizes)-1] {
			sizes = append(sizes, c)
		}
	}
	sect.reserve(700, 1000)
	if sizes = append(sizes, cap(sect.buf)); !slices.Equal(sizes, []int{100, 200, 400, 800, 1000, 1700}) {
		t.Errorf("sizes %v", sizes)
	}
}
