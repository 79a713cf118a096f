package follow

import (
	"bytes"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"

	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// fits reports whether the file at a candidate's path is the one that p was made from.
func fits(c *candidate, p *ship.Position) (bool, error) {
	h, err := c.open()
	if err != nil {
		return false, err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return false, err
	}
	if c.gzip && !p.Ignored && p.Gzip && p.FileID == c.id {
		return fitsHead(h, p.Head)
	}
	if c.gzip && !(p.Ignored && p.Gzip) {
		return fitsGzip(h, p)
	}
	if p.Ignored && p.Gzip && p.FileID != c.id || info.Size() < p.Offset {
		return false, nil
	}
	head, before := make([]byte, len(p.Head)), make([]byte, len(p.Marker))
	if _, err := h.ReadAt(head, 0); err != nil && err != io.EOF {
		return false, err
	}
	if _, err := h.ReadAt(before, p.Offset-int64(len(before))); err != nil && err != io.EOF {
		return false, err
	}
	return p.Fits(head, before), nil
}

// fitsHead compares the beginning only: a compressed file does not grow.
func fitsHead(h *os.File, first []byte) (bool, error) {
	head := make([]byte, len(first))
	z, err := gzip.NewReader(h)
	if err != nil {
		return false, nil //nolint:nilerr // another file, whatever it is
	}
	_, err = io.ReadFull(z, head)
	return err == nil && bytes.Equal(head, first), nil
}

// fitsGzip decompresses up to the position. A file that is cut off does not fit (yet).
func fitsGzip(h *os.File, p *ship.Position) (bool, error) {
	if fit, err := fitsHead(h, p.Head); !fit || err != nil {
		return false, err
	}
	if _, err := h.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	z, err := gzip.NewReader(h)
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	before := make([]byte, len(p.Marker))
	if _, err := io.CopyN(io.Discard, z, p.Offset-int64(len(before))); err != nil {
		return false, nil //nolint:nilerr // shorter
	}
	_, err = io.ReadFull(z, before)
	return err == nil && bytes.Equal(before, p.Marker), nil
}

// readBefore reports whether the candidate is shorter than what was read, and begins with the same bytes: a copy
// that was made before the last of them was written.
func readBefore(c *candidate, p *ship.Position) (bool, error) {
	if c.gzip || c.size >= p.Offset || c.size < int64(len(p.Head)) || len(p.Head) == 0 {
		return false, nil
	}
	h, err := c.open()
	if err != nil {
		return false, err
	}
	defer h.Close()
	return beginsWith(h, p.Head)
}

func beginsWith(h *os.File, first []byte) (bool, error) {
	head := make([]byte, len(first))
	if _, err := h.ReadAt(head, 0); err != nil && err != io.EOF {
		return false, err
	}
	return bytes.Equal(head, first), nil
}

// begins reports whether the candidate's content begins with these bytes.
func begins(c *candidate, first []byte) (bool, error) {
	h, err := c.open()
	if err != nil {
		return false, err
	}
	defer h.Close()
	if c.gzip {
		return fitsHead(h, first)
	}
	return beginsWith(h, first)
}

// copyOf reports whether the candidate holds the first bytes of another file: it is a copy, which may be under way. sure is
// false if one of them changed meanwhile.
func copyOf(c, of *candidate) (yes, sure bool, err error) {
	if c.gzip || of.gzip || c.size == 0 || c.size > of.size {
		return false, true, nil
	}
	theirs, err := c.open()
	if err != nil {
		return false, false, err
	}
	defer theirs.Close()
	h, err := of.open()
	if err != nil {
		return false, false, err
	}
	defer h.Close()
	yes = true
	for _, at := range []int64{0, max(0, c.size-ship.MarkerSize)} {
		n := min(c.size-at, ship.HeadSize)
		a, b := make([]byte, n), make([]byte, n)
		if _, err := theirs.ReadAt(a, at); err != nil {
			return false, false, nil // cut off: the next scan looks again
		}
		if _, err := h.ReadAt(b, at); err != nil {
			return false, false, nil // likewise
		}
		yes = yes && bytes.Equal(a, b)
	}
	// The original is cut off only after it was copied: if it is whole now, it was so when it was compared.
	info, err := h.Stat()
	if err != nil {
		return false, false, err
	}
	id, _ := idOf(info)
	return yes, id == of.id && info.Size() >= of.size, nil
}
