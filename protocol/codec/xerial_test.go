package codec

import (
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/spoold/spoold/protocol"
)

// Java's snappy stream is a header of 16 bytes, then any number of blocks, each behind its length: none is no bytes, and
// one that ends early is an error.
func TestAJavaSnappyStreamEndsBetweenItsBlocks(t *testing.T) {
	header := "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	block := s2.EncodeSnappy(nil, []byte("hello"))
	framed := string(binary.BigEndian.AppendUint32(nil, uint32(len(block)))) + string(block)
	for _, tt := range []struct {
		name, stream string
		want         string
		ok           bool
	}{
		{"no block", header, "", true},
		{"one block", header + framed, "hello", true},
		{"two blocks", header + framed + framed, "hellohello", true},
		{"a cut header", header[:15], "", false},
		{"a cut length", header + framed + framed[:3], "", false},
		{"a length and nothing behind it", header + framed + framed[:4], "", false},
		{"a cut block", header + framed + framed[:len(framed)-1], "", false},
		{"a block of no bytes", header + "\x00\x00\x00\x00", "", false},
	} {
		got, err := Decompress([]byte("kept"), []byte(tt.stream), protocol.CodecSnappy, 100)
		if (err == nil) != tt.ok || string(got) != "kept"+tt.want {
			t.Errorf("%s: %q, %v; want %q, and an error: %v", tt.name, got, err, "kept"+tt.want, !tt.ok)
		}
	}
}
