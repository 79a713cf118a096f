package codec

import (
	"bytes"
	"encoding/binary"
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

// Decompress appends src, decompressed, to dst; more than limit bytes of it are
// ErrTooLarge. src and dst must not overlap.
func Decompress(dst, src []byte, c protocol.Codec, limit int) ([]byte, error) {
	out, err := decompress(dst, src, c, max(limit, 0))
	if err != nil && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnknown) {
		err = fmt.Errorf("decompress %d bytes: %w", len(src), err)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

func decompress(dst, src []byte, c protocol.Codec, limit int) ([]byte, error) {
	switch c {
	case protocol.CodecNone:
		if len(src) > limit {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	case protocol.CodecGzip:
		r, _ := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return dst, err
		}
		return readAll(dst, r, limit)
	case protocol.CodecSnappy:
		return unsnappy(dst, src, limit)
	case protocol.CodecLZ4:
		r, _ := lz4Readers.Get().(*lz4.Reader)
		defer lz4Readers.Put(r)
		r.Reset(bytes.NewReader(src))
		return readAll(dst, r, limit)
	case protocol.CodecZstd:
		return unzstd(dst, src, limit)
	}
	return dst, fmt.Errorf("%w %d", ErrUnknown, c)
}

var (
	gzipReaders  = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4Readers   = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstdDecoders = sync.Pool{New: func() any { return newZstd(usualWindow) }}
)

// readAll appends what r has, at most limit bytes.
func readAll(dst []byte, r io.Reader, limit int) ([]byte, error) {
	have := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst)-have > limit {
			return dst[:have], ErrTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst[:have], err
		}
	}
}

// xerial is how snappy-java's stream begins: a name, then two version numbers.
var xerial = []byte("\x82SNAPPY\x00")

const xerialHeader = 16

var errXerial = errors.New("xerial framing is damaged")

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < xerialHeader || !bytes.HasPrefix(src, xerial) {
		return unsnappyBlock(dst, src, limit)
	}
	have := len(dst)
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return dst[:have], errXerial
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return dst[:have], errXerial
		}
		var err error
		if dst, err = unsnappyBlock(dst, src[:n], limit-(len(dst)-have)); err != nil {
			return dst[:have], err
		}
		src = src[n:]
	}
	return dst, nil
}

func unsnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, err
	}
	// A block makes at most 64 bytes of three: a length that no data can
	// reach takes no memory.
	if n > 22*len(src)+64 {
		return dst, s2.ErrCorrupt
	}
	if n > limit {
		return dst, ErrTooLarge
	}
	have := len(dst)
	if cap(dst)-have < n {
		dst = append(make([]byte, 0, have+n), dst...)
	}
	// S2 is a superset of snappy; what only S2 has is refused by no reader of ours, and written by none.
	if _, err := s2.Decode(dst[have:have+n:have+n], src); err != nil {
		return dst[:have], err
	}
	return dst[:have+n], nil
}

// Windows that a zstd frame may ask memory for: up to level 19 they are at most 8 MiB,
// and Kafka's own reader takes 128 MiB.
const (
	usualWindow = 8 << 20
	maxWindow   = 128 << 20
)

func newZstd(window uint64) *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window)) // fails only on bad options
	return d
}

func unzstd(dst, src []byte, limit int) ([]byte, error) {
	d, _ := zstdDecoders.Get().(*zstd.Decoder)
	out, err := readZstd(dst, src, d, limit)
	zstdDecoders.Put(d)
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return out, err
	}
	d = newZstd(maxWindow) // rare, and too large to keep
	defer d.Close()
	return readZstd(dst, src, d, limit)
}

func readZstd(dst, src []byte, d *zstd.Decoder, limit int) ([]byte, error) {
	if err := d.Reset(bytes.NewReader(src)); err != nil {
		return dst, err
	}
	defer func() { _ = d.Reset(nil) }() // lets go of src
	return readAll(dst, d, limit)
}
