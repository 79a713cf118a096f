package follow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// file is a file that is followed.
type file struct {
	pos  *ship.Position // behind the last record that was given to the spool
	read *ship.Position // behind what was taken from the file; beyond pos inside of a line that is too long
	name ship.Name
	id   ship.FileID

	h  *os.File     // nil: closed
	gz *gzip.Reader // nil: not compressed, or closed

	buf   []byte // bytes behind read
	split ship.Splitter

	first []byte // its first bytes when it was found, if nothing of it was read before

	size     int64 // as it was seen last
	most     int64 // the largest that was seen
	modified time.Time
	links    uint64
	missing  bool      // the last scan found no name for it
	changed  time.Time // when bytes were read last
	checked  time.Time // modified, when the bytes before read were compared last
	doneSize int64     // its size when done was set
	done     bool      // read to its end, which does not move: compressed, or a single run
	skipNUL  bool      // NUL bytes at its beginning stand for what a truncation cut off
	nuls     int64
	longFrom *int64  // where the line begins that is too long; nil: there is none
	keep     *Keeper // takes it
}

// errReplaced: the file holds other bytes than those that were read.
var errReplaced = errors.New("the file was truncated or written anew")

// idOf is the file system's name of a file.
func idOf(info fs.FileInfo) (id ship.FileID, links uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return ship.FileID{Dev: uint64(st.Dev), Ino: st.Ino}, uint64(st.Nlink) //nolint:unconvert // not the same type everywhere
	}
	return ship.FileID{}, 1
}

// look takes note of the file's size. A file that is closed and not there any more keeps the one it had.
func (f *file) look() {
	var info fs.FileInfo
	var err error
	if f.h != nil {
		info, err = f.h.Stat()
	} else {
		info, err = os.Stat(f.name.Path)
	}
	if err != nil {
		return
	}
	if id, links := idOf(info); id == f.id {
		f.size, f.modified, f.links = info.Size(), info.ModTime(), links
		f.most = max(f.most, f.size)
	}
}

// unread reports whether there may be something to read.
func (f *file) unread() bool {
	if f.read.Gzip {
		return !f.done
	}
	return f.size != f.read.Offset+int64(len(f.buf)) || !f.modified.Equal(f.checked)
}

func (f *file) open() error {
	if f.h != nil {
		return nil
	}
	h, err := openRegular(f.name.Path)
	if err != nil {
		return err
	}
	info, err := h.Stat()
	if err != nil {
		_ = h.Close()
		return err
	}
	if id, _ := idOf(info); id != f.id {
		_ = h.Close()
		return fs.ErrNotExist // renamed meanwhile: the next scan finds it
	}
	f.h = h
	if f.read.Gzip {
		return f.openGzip()
	}
	return nil
}

// openGzip decompresses up to the position.
func (f *file) openGzip() error {
	f.rewind()
	z, err := gzip.NewReader(f.h)
	if err == nil {
		f.gz = z
		_, err = io.CopyN(io.Discard, z, f.read.Offset)
	}
	if err != nil {
		f.close()
	}
	return err
}

// openRegular does not wait for a writer if the path became a pipe.
func openRegular(path string) (*os.File, error) {
	h, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := h.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

func (f *file) close() {
	if f.h != nil {
		_ = f.h.Close()
	}
	f.h, f.gz = nil, nil
	if f.read.Gzip && !f.done {
		f.rewind()
	}
}

// rewind goes back to behind the last record that was sent.
func (f *file) rewind() {
	f.buf = f.buf[:0]
	f.read = clone(f.pos)
	f.split.Reset()
	f.longFrom = nil
	f.keep.abandon()
	f.keep = nil
}

// intact reports whether the file still holds what was read last.
func (f *file) intact() bool {
	if err := f.open(); err != nil {
		return true // whoever reads it reports that
	}
	f.look()
	if f.read.Gzip {
		return true
	}
	if f.read.Offset == 0 {
		first := make([]byte, len(f.first))
		_, err := f.h.ReadAt(first, 0)
		return err == nil && bytes.Equal(first, f.first)
	}
	before := make([]byte, len(f.read.Marker))
	n, err := f.h.ReadAt(before, f.read.Offset-int64(len(before)))
	return f.size >= f.read.Offset+int64(len(f.buf)) && n == len(before) && (err == nil || err == io.EOF) && bytes.Equal(before, f.read.Marker)
}

// fill reads up to max bytes behind buf, and says how many there were. It compares again what was read
// before, and what is in front of that: errReplaced if it differs.
func (f *file) fill(scratch []byte, max int) (int, error) {
	if f.gz != nil {
		return f.fillGzip(max)
	}
	known := len(f.read.Marker) + len(f.buf)
	if cap(scratch) < known+max {
		scratch = make([]byte, known+max)
	}
	scratch = scratch[:known+max]
	n, err := f.h.ReadAt(scratch, f.read.Offset-int64(len(f.read.Marker)))
	if err != nil && err != io.EOF {
		return 0, err
	}
	if f.read.Offset == 0 && !bytes.HasPrefix(scratch[:n], f.first) {
		return 0, errReplaced
	}
	if n < known || !bytes.Equal(scratch[:len(f.read.Marker)], f.read.Marker) || !bytes.Equal(scratch[len(f.read.Marker):known], f.buf) {
		return 0, errReplaced
	}
	f.checked = f.modified
	f.buf = append(f.buf, scratch[known:n]...)
	return n - known, nil
}

func (f *file) fillGzip(max int) (int, error) {
	at := len(f.buf)
	f.buf = append(f.buf, make([]byte, max)...)
	n, err := io.ReadFull(f.gz, f.buf[at:])
	f.buf = f.buf[:at+n]
	if errors.Is(err, io.EOF) || n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // if the file is cut off, the next call says so
	}
	return n, err
}

// open opens the candidate's file. fs.ErrNotExist: it was renamed after it was listed.
func (c *candidate) open() (*os.File, error) {
	h, err := openRegular(c.name.Path)
	if err != nil {
		return nil, err
	}
	info, err := h.Stat()
	if err == nil {
		if id, _ := idOf(info); id != c.id {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

// begin reads the candidate's first bytes.
func (c *candidate) begin() ([]byte, error) {
	h, err := c.open()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	first := make([]byte, min(c.size, ship.HeadSize))
	n, err := h.ReadAt(first, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first[:n], err
}

func clone(p *ship.Position) *ship.Position {
	q := *p
	return &q
}

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
