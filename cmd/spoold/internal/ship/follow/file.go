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

	h      *os.File     // nil: closed
	gz     *gzip.Reader // nil: not compressed, or closed
	broken error        // what gz has met behind buf

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
	f.h, f.gz, f.broken = nil, nil, nil
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

// fill reads up to max bytes behind buf, and says how many there were, and whether the file ends there. It compares again what was read
// before, and what is in front of that: errReplaced if it differs.
func (f *file) fill(scratch []byte, max int) (n int, end bool, err error) {
	if f.gz != nil {
		return f.fillGzip(max)
	}
	known := len(f.read.Marker) + len(f.buf)
	if cap(scratch) < known+max {
		scratch = make([]byte, known+max)
	}
	scratch = scratch[:known+max]
	n, err = f.h.ReadAt(scratch, f.read.Offset-int64(len(f.read.Marker)))
	if err != nil && err != io.EOF {
		return 0, false, err
	}
	if f.read.Offset == 0 && !bytes.HasPrefix(scratch[:n], f.first) {
		return 0, false, errReplaced
	}
	if n < known || !bytes.Equal(scratch[:len(f.read.Marker)], f.read.Marker) || !bytes.Equal(scratch[len(f.read.Marker):known], f.buf) {
		return 0, false, errReplaced
	}
	f.checked = f.modified
	f.buf = append(f.buf, scratch[known:n]...)
	return n - known, n-known < max, nil
}

// fillGzip reports damage when all in front of it was taken: what comes then is no end of a line.
func (f *file) fillGzip(max int) (n int, end bool, err error) {
	if f.broken != nil {
		return 0, false, f.broken
	}
	at := len(f.buf)
	f.buf = append(f.buf, make([]byte, max)...)
	for n < max && err == nil {
		var k int
		k, err = f.gz.Read(f.buf[at+n:])
		n += k
	}
	f.buf = f.buf[:at+n]
	switch {
	case errors.Is(err, io.EOF):
		return n, true, nil
	case err != nil && n > 0:
		f.broken, err = err, nil
	}
	return n, false, err
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

// same reports whether a closed file is the candidate. Its number may have been given to another file since.
func (f *file) same(c *candidate) bool {
	if c.gzip != f.read.Gzip {
		return false
	}
	if c.size == f.size && c.modified.Equal(f.modified) || f.pos.Offset == 0 {
		return true
	}
	ok, err := fits(c, f.pos)
	return ok || err != nil
}

// lineName is the name that the file's records get.
func (f *file) lineName(single bool) string {
	switch {
	case single:
		return f.name.Path
	case f.pos.OfLog:
		return f.name.Base // also of a copy beside the target of the log's link
	}
	return f.pos.Name()
}
