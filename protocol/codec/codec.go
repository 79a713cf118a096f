package codec

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/spoold/spoold/protocol"
)

// DefaultLevel is each codec's own default.
const DefaultLevel = 0

// ErrTooLarge says that the decompressed data would be larger than allowed.
var ErrTooLarge = errors.New("decompressed data is larger than allowed")

// ErrUnknown says that there is no such codec.
var ErrUnknown = errors.New("unknown compression codec")

// Compress appends src, compressed, to dst. level is what Kafka's compression.*.level
// says: gzip 1 to 9, lz4 1 to 17 (9 is its default and means fast), zstd up to 22;
// snappy has none. What is out of range is taken for the nearest. src and dst must not overlap.
func Compress(dst, src []byte, c protocol.Codec, level int) ([]byte, error) {
	switch c {
	case protocol.CodecNone:
		return append(dst, src...), nil
	case protocol.CodecGzip:
		return stream(dst, src, &gzipWriters[gzipLevel(level)])
	case protocol.CodecSnappy:
		return snappyBlock(dst, src), nil
	case protocol.CodecLZ4:
		return stream(dst, src, &lz4Writers[lz4Level(level)])
	case protocol.CodecZstd:
		p := &zstdEncoders[zstdLevel(level)]
		e, _ := p.Get().(*zstd.Encoder)
		defer p.Put(e)
		return e.EncodeAll(src, dst), nil
	}
	return dst, fmt.Errorf("%w %d", ErrUnknown, c)
}

// writer is what gzip's and lz4's encoders have in common.
type writer interface {
	io.WriteCloser
	Reset(io.Writer)
}

// sink collects what an encoder writes behind a slice.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// streamer is a pooled encoder with its sink.
type streamer struct {
	w   writer
	out sink
}

func stream(dst, src []byte, pool *sync.Pool) ([]byte, error) {
	s, _ := pool.Get().(*streamer)
	defer pool.Put(s)
	s.out.b = dst
	s.w.Reset(&s.out)
	_, err := s.w.Write(src)
	if err == nil {
		err = s.w.Close()
	}
	out := s.out.b
	s.out.b = nil
	if err != nil {
		return dst, fmt.Errorf("compress %d bytes: %w", len(src), err)
	}
	return out, nil
}

func snappyBlock(dst, src []byte) []byte {
	need := s2.MaxEncodedLen(len(src))
	have := len(dst)
	if cap(dst)-have < need {
		dst = append(make([]byte, 0, have+need), dst...)
	}
	return dst[:have+len(s2.EncodeSnappy(dst[have:have+need], src))]
}

// zstdWindow is how far back an encoder looks. Few batches are larger, and the level's own, 8 MiB, is memory that each
// encoder holds twice.
const zstdWindow = 1 << 20

// One pool for each level that an encoder distinguishes.
var (
	gzipWriters  [10]sync.Pool // 0: the default
	lz4Writers   [10]sync.Pool // 0: fast
	zstdEncoders [5]sync.Pool  // by zstd.EncoderLevel
)

func init() {
	for i := range gzipWriters {
		level := i
		if i == 0 {
			level = gzip.DefaultCompression
		}
		gzipWriters[i].New = func() any {
			w, _ := gzip.NewWriterLevel(io.Discard, level) // fails only on a bad level
			return &streamer{w: w}
		}
	}
	levels := [10]lz4.CompressionLevel{lz4.Fast, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4,
		lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}
	for i := range lz4Writers {
		lz4Writers[i].New = func() any {
			w := lz4.NewWriter(io.Discard)
			// As Kafka writes it: blocks of 64 KiB that stand alone, no checksum but the header's.
			_ = w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false),
				lz4.ConcurrencyOption(1), lz4.CompressionLevelOption(levels[i])) // fails only on bad options
			return &streamer{w: w}
		}
	}
	for i := range zstdEncoders {
		zstdEncoders[i].New = func() any {
			e, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true),
				zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.EncoderLevel(max(1, i)))) // fails only on bad options
			return e
		}
	}
}

func gzipLevel(level int) int { return min(max(level, 0), 9) }

// lz4Level maps Kafka's 1 to 17 to the nine of our encoder. Kafka's 9, its
// default, is the fast compressor there and here.
func lz4Level(level int) int {
	if level <= 0 || level == 9 {
		return 0
	}
	return min((level+1)/2, 9)
}

func zstdLevel(level int) int {
	if level == DefaultLevel {
		level = 3
	}
	return int(zstd.EncoderLevelFromZstd(level))
}
