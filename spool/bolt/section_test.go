package bolt

import (
	"slices"
	"testing"
)

// What a growing buffer leaves behind is garbage, and groups are the larger part of it: a buffer doubles up to a full group. That of one
// large batch, which is a group of its own, goes on by quarters: a new buffer for each record took a second for each 10,000 of them.
func TestABufferOfAGroupDoublesUpToAFullGroup(t *testing.T) {
	sect := &section{buf: make([]byte, 100)}
	sizes := []int{cap(sect.buf)}
	for len(sect.buf) < 2500 {
		sect.reserve(50, 1000)
		sect.buf = append(sect.buf, make([]byte, 50)...)
		if c := cap(sect.buf); c != sizes[len(sizes)-1] {
			sizes = append(sizes, c)
		}
	}
	if !slices.Equal(sizes, []int{100, 200, 400, 800, 1000, 1312, 1687, 2125, 2687}) {
		t.Errorf("sizes %v", sizes)
	}
}
