package httpin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// encodings are those of a body, for Accept-Encoding.
const encodings = "gzip, zstd, snappy"

// codeEncoding is the code of a body whose encoding is none of these.
const codeEncoding = 41501

// What a decoder takes of the budget that large bodies share.
const (
	gzipCost   = 64 << 10
	snappyCost = 192 << 10
	zstdWindow = 1 << 20 // of most bodies: those may be read by a decoder that is used again
	zstdMost   = 8 << 20 // what the format asks every decoder to take
)

// source is a body that is being read, and the decoder between.
type source struct {
	encoding string // "": none
	gzip     *gzip.Reader
	zstd     *zstd.Decoder
	reused   bool // zstd goes back to its pool
}

var (
	gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstds = sync.Pool{New: func() any {
		d, err := newZstd(zstdWindow)
		if err != nil {
			panic("httpin: " + err.Error()) // its options are constant
		}
		return d
	}}
)

func newZstd(window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

// open is the request's body as it was before its Content-Encoding. Whoever reads it bounds what comes out.
func (h *Handler) open(p *parse, r *http.Request, body io.Reader) (io.Reader, *fault) {
	values := r.Header["Content-Encoding"]
	if len(values) == 0 {
		return body, nil
	}
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(values, ",")))
	if encoding == "" || encoding == "identity" {
		return body, nil
	}
	p.source.encoding = encoding
	var in io.Reader
	var err error
	var f *fault
	switch encoding {
	case "gzip", "x-gzip":
		if f = h.charge(p, gzipCost); f == nil {
			p.source.gzip = gzips.Get().(*gzip.Reader)
			in, err = p.source.gzip, p.source.gzip.Reset(body)
		}
	case "zstd":
		in, f, err = h.openZstd(p, bufio.NewReaderSize(body, 4<<10))
	case "snappy":
		in, f, err = h.openSnappy(p, bufio.NewReaderSize(body, 4<<10))
	default:
		return nil, faultf(415, codeEncoding, "Content-Encoding %q is not supported: send the body as it is, or one of %s", clip(encoding), encodings)
	}
	if err != nil {
		f = bodyFault(err, encoding)
	}
	if f != nil {
		p.source.close()
		h.unread(p)
		return nil, f
	}
	return in, nil
}

// openZstd reads the window's size before it takes the memory.
func (h *Handler) openZstd(p *parse, body *bufio.Reader) (io.Reader, *fault, error) {
	head, err := body.Peek(zstd.HeaderMaxSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	var header zstd.Header
	if err := header.Decode(head); err != nil {
		return nil, nil, err
	}
	window := uint64(zstdWindow)
	if max(header.WindowSize, header.FrameContentSize) > window {
		window = zstdMost
	}
	if f := h.charge(p, int64(window)); f != nil {
		return nil, f, nil
	}
	if p.source.reused = window == zstdWindow; p.source.reused {
		p.source.zstd = zstds.Get().(*zstd.Decoder)
	} else if p.source.zstd, err = newZstd(window); err != nil {
		return nil, nil, err
	}
	return p.source.zstd, nil, p.source.zstd.Reset(body)
}

// snappyMagic begins snappy's framed format. Without it a body is one block.
var snappyMagic = []byte("\xff\x06\x00\x00sNaPpY")

func (h *Handler) openSnappy(p *parse, body *bufio.Reader) (io.Reader, *fault, error) {
	head, err := body.Peek(len(snappyMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	if bytes.Equal(head, snappyMagic) {
		if f := h.charge(p, snappyCost); f != nil {
			return nil, f, nil
		}
		return s2.NewReader(body, s2.ReaderMaxBlockSize(64<<10)), nil, nil
	}
	// A block must be whole before it can be read. Its size stands in front.
	var packed []byte
	for len(packed) == 0 || err == nil {
		part := make([]byte, min(max(firstRead, len(packed)), int(h.maxBody.Load())))
		if f := h.charge(p, int64(len(part))); f != nil {
			return nil, f, nil
		}
		var n int
		n, err = io.ReadFull(body, part)
		if packed = append(packed, part[:n]...); int64(len(packed)) > h.maxBody.Load() {
			return nil, tooLarge(h.maxBody.Load()), nil
		}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, err
	}
	size, err := s2.DecodedLen(packed)
	if err != nil {
		return nil, nil, err
	}
	if int64(size) > h.maxBody.Load() {
		return nil, tooLarge(h.maxBody.Load()), nil
	}
	if f := h.charge(p, int64(size)); f != nil {
		return nil, f, nil
	}
	plain, err := s2.Decode(nil, packed)
	return bytes.NewReader(plain), nil, err
}

// close gives decoders back.
func (s *source) close() {
	if s.gzip != nil {
		gzips.Put(s.gzip)
	}
	if s.zstd != nil {
		_ = s.zstd.Reset(nil) // it holds the body no longer
		if s.reused {
			zstds.Put(s.zstd)
		} else {
			s.zstd.Close()
		}
	}
	s.gzip, s.zstd = nil, nil
}
