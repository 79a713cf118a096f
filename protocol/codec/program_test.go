package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
)

// FuzzDecompressKeepsItsLimitAndAgreesWithKgo reads its input as something to compress, how, and what becomes
// of it on the way; or as compressed bytes.
//
// Law: what was compressed, at any level, kgo and we read back; with a limit one byte lower it is
// ErrTooLarge; a snappy stream in Java's framing is its blocks, one behind the other; and of any other bytes
// we make an error, or no more than the limit: the same that kgo makes. What stood in the buffer before
// stays there.
func FuzzDecompressKeepsItsLimitAndAgreesWithKgo(f *testing.F) {
	for c := range byte(5) {
		f.Add([]byte{0, c, 3, 9, 200, 0, 50, 7, 20, 'a', 'b', 'c', 1, 9})
		packed, err := Compress(nil, records(300), protocol.Codec(c), DefaultLevel)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{3, c}, packed...))
		f.Add(append([]byte{1, c, 3, 5, 9, 200, 0, 99, 1, 4, 9, 8}, c))
	}
	f.Add([]byte{2, 3, 9, 'a', 'b', 4, 'c', 'd', 200, 1, 4, 'e', 0})
	f.Add(append([]byte{3, byte(protocol.CodecSnappy)}, javaBatch(f, "snappy")[protocol.BatchHeaderSize:]...))
	kgos := kgo.DefaultDecompressor()
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		kind, c := p.Below(4), protocol.Codec(p.Below(5))
		switch kind {
		case 0, 1:
			plain := plainText(p)
			packed, err := Compress([]byte("kept"), plain, c, int(p.Int32()))
			if err != nil || !bytes.HasPrefix(packed, []byte("kept")) {
				t.Fatalf("codec %d: %v", c, err)
			}
			packed = packed[4:]
			if kind == 1 {
				anyBytes(t, kgos, damage(p, packed), c)
				return
			}
			readBack(t, kgos, packed, plain, c)
		case 2:
			packed, plain := javaFraming(p)
			readBack(t, kgos, packed, plain, protocol.CodecSnappy)
			anyBytes(t, kgos, damage(p, packed), protocol.CodecSnappy)
		case 3:
			anyBytes(t, kgos, p.Rest(), c)
		}
	})
}

// plainText is a few runs of bytes, some of them long.
func plainText(p *program.Program) []byte {
	var plain []byte
	for range 1 + p.Below(6) {
		plain = append(plain, p.Bytes(12_000)...)
	}
	return plain
}

func damage(p *program.Program, packed []byte) []byte {
	bad := bytes.Clone(packed)
	for range 1 + p.Below(3) {
		if len(bad) == 0 {
			break
		}
		switch at := p.Below(len(bad)); p.Below(4) {
		case 0:
			bad[at] = p.Byte()
		case 1:
			bad[at%min(len(bad), 24)] ^= 1 << p.Below(8) // where headers are
		case 2:
			bad = bad[:at]
		case 3:
			bad = append(bad, packed[:min(at, len(packed))]...)
		}
	}
	return bad
}

// javaFraming is blocks of snappy as Java's client frames them.
func javaFraming(p *program.Program) (packed, plain []byte) {
	packed = append(packed, "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"...)
	for range 1 + p.Below(4) {
		part := p.Bytes(3000)
		block := s2.EncodeSnappy(nil, part)
		packed = append(binary.BigEndian.AppendUint32(packed, uint32(len(block))), block...)
		plain = append(plain, part...)
	}
	return packed, plain
}

func readBack(t *testing.T, kgos kgo.Decompressor, packed, plain []byte, c protocol.Codec) {
	got, err := Decompress([]byte("kept"), packed, c, len(plain))
	if err != nil || !bytes.HasPrefix(got, []byte("kept")) || !bytes.Equal(got[4:], plain) {
		t.Fatalf("codec %d: %d bytes come back as %d, %v", c, len(plain), len(got)-4, err)
	}
	if theirs, err := kgos.Decompress(packed, kgo.CompressionCodecType(c)); err != nil || !bytes.Equal(theirs, plain) {
		t.Fatalf("codec %d: %d bytes are %d to kgo, %v", c, len(plain), len(theirs), err)
	}
	if len(plain) == 0 {
		return
	}
	if got, err := Decompress([]byte("kept"), packed, c, len(plain)-1); !errors.Is(err, ErrTooLarge) || string(got) != "kept" {
		t.Fatalf("codec %d: %d bytes with a limit one lower: %d, %v", c, len(plain), len(got)-4, err)
	}
}

func anyBytes(t *testing.T, kgos kgo.Decompressor, packed []byte, c protocol.Codec) {
	const limit = 256 << 10
	got, err := Decompress([]byte("kept"), packed, c, limit)
	if !bytes.HasPrefix(got, []byte("kept")) || len(got) > 4+limit || err != nil && len(got) != 4 {
		t.Fatalf("codec %d: %x: %d bytes, %v", c, packed, len(got)-4, err)
	}
	if err != nil || c == protocol.CodecSnappy && len(packed) == xerialHeader && len(got) == 4 {
		return // kgo reads Java's framing only where there is a block in it
	}
	theirs, err := kgos.Decompress(packed, kgo.CompressionCodecType(c))
	if err != nil || !bytes.Equal(theirs, got[4:]) {
		t.Fatalf("codec %d: %x is %d bytes to us, and %d to kgo, %v", c, packed, len(got)-4, len(theirs), err)
	}
	again, err := Compress(nil, theirs, c, DefaultLevel)
	if err != nil {
		t.Fatal(err)
	}
	readBack(t, kgos, again, theirs, c)
}
