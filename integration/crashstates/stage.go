package crashstates

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spoold/spoold/integration/powercut"
)

// stage is a directory that is made one state after the other. Its files stay, under other names elsewhere, and only what differs is
// written to them: what the next state changes, and what the spool has done to the last one.
type stage struct {
	root  string // everything is below it
	dir   string // the spool
	fd    int    // of dir
	props map[*powercut.File]*prop
	made  int

	entries []byte // of dir, as the system gives them
}

// prop is a file of the stage.
type prop struct {
	path  string
	fd    int
	inode uint64
	mem   []byte // the file, as far as it goes; the rest of it must not be touched
	used  bool   // in this state
}

// stageFile is more than any file of a state has.
const stageFile = 16 << 20

func newStage(root string) (*stage, error) {
	s := &stage{root: root, dir: filepath.Join(root, "spool"), props: map[*powercut.File]*prop{}, entries: make([]byte, 8<<10)}
	for _, dir := range []string{s.dir, filepath.Join(root, "props")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("crashstates: %w", err)
		}
	}
	var err error
	if s.fd, err = unix.Open(s.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, &os.PathError{Op: "open", Path: s.dir, Err: err}
	}
	return s, nil
}

// close removes everything.
func (s *stage) close() error {
	for _, p := range s.props {
		p.close()
	}
	_ = unix.Close(s.fd)
	return os.RemoveAll(s.root)
}

func (p *prop) close() {
	_ = unix.Munmap(p.mem)
	_ = unix.Close(p.fd)
}

// show makes the directory the state that the frame has worked out last.
func (s *stage) show(fr *frame) error {
	for _, p := range s.props {
		p.used = false
	}
	want := map[string]*prop{}
	var err error
	fr.shown(func(f *fileFrame) {
		if err != nil {
			return
		}
		p := s.props[f.File]
		if p == nil {
			if p, err = s.newProp(); err != nil {
				return
			}
			s.props[f.File] = p
		}
		p.used = true
		want[f.nameNow] = p
		err = p.fill(fr, f)
	})
	if err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	if err := s.names(want); err != nil {
		return fmt.Errorf("crashstates: %w", err)
	}
	return s.clean(fr)
}

// clean lets go of files that no state will have any more.
func (s *stage) clean(fr *frame) error {
	if len(s.props) <= 2*len(fr.files)+8 {
		return nil
	}
	known := map[*powercut.File]bool{}
	for _, f := range fr.files {
		known[f.File] = true
	}
	for f, p := range s.props {
		if !known[f] {
			p.close()
			delete(s.props, f)
			if err := unix.Unlink(p.path); err != nil {
				return &os.PathError{Op: "unlink", Path: p.path, Err: err}
			}
		}
	}
	return nil
}

func (s *stage) newProp() (*prop, error) {
	s.made++
	p := &prop{path: filepath.Join(s.root, "props", strconv.Itoa(s.made))}
	var err error
	if p.fd, err = unix.Open(p.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600); err != nil {
		return nil, &os.PathError{Op: "create", Path: p.path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(p.fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: p.path, Err: err}
	}
	p.inode = st.Ino
	if p.mem, err = unix.Mmap(p.fd, 0, stageFile, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, &os.PathError{Op: "mmap", Path: p.path, Err: err}
	}
	return p, nil
}

// names gives each file its name, and no other file one.
func (s *stage) names(want map[string]*prop) error {
	var wrong []string
	err := s.list(func(name string, inode uint64) {
		if p := want[name]; p != nil && p.inode == inode {
			delete(want, name)
		} else {
			wrong = append(wrong, name)
		}
	})
	if err != nil {
		return err
	}
	for _, name := range wrong {
		if err := unix.Unlinkat(s.fd, name, 0); err != nil {
			return &os.PathError{Op: "unlink", Path: filepath.Join(s.dir, name), Err: err}
		}
	}
	for name, p := range want {
		if err := unix.Linkat(unix.AT_FDCWD, p.path, s.fd, name, 0); err != nil {
			return &os.PathError{Op: "link", Path: filepath.Join(s.dir, name), Err: err}
		}
	}
	return nil
}

// list lists the directory.
func (s *stage) list(yield func(name string, inode uint64)) error {
	if _, err := unix.Seek(s.fd, 0, 0); err != nil {
		return &os.PathError{Op: "seek", Path: s.dir, Err: err}
	}
	for {
		n, err := unix.Getdents(s.fd, s.entries)
		if err != nil {
			return &os.PathError{Op: "list", Path: s.dir, Err: err}
		}
		if n == 0 {
			return nil
		}
		for b := s.entries[:n]; len(b) > 0; {
			inode, size := binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint16(b[16:])
			name := b[19:size]
			name = name[:bytes.IndexByte(name, 0)]
			b = b[size:]
			if string(name) != "." && string(name) != ".." {
				yield(string(name), inode)
			}
		}
	}
}

// fill makes a file what it is in the state.
func (p *prop) fill(fr *frame, f *fileFrame) error {
	if f.sizeNow > stageFile {
		return fmt.Errorf("%s has %d bytes: more than %d", f.nameNow, f.sizeNow, stageFile)
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.fd, &st); err != nil {
		return err
	}
	if st.Size != f.sizeNow {
		if err := unix.Ftruncate(p.fd, f.sizeNow); err != nil {
			return err
		}
	}
	end := int64(len(f.Data))
	if n := len(f.slots); n > 0 {
		end = max(end, (fr.slots[f.slots[n-1]].at+1)*sector)
	}
	end = min((end+powercut.Page-1)/powercut.Page*powercut.Page, f.sizeNow)
	at := int64(0)
	for _, i := range f.slots {
		if fr.now[i].data == nil {
			continue
		}
		from := fr.slots[i].at * sector
		p.same(at, min(from, end), f.Data)
		at = min(from+sector, end)
		if from < end {
			p.patch(from, fr.now[i].data[:at-from])
		}
	}
	p.same(at, end, f.Data)
	if end == f.sizeNow {
		return nil
	}
	// Behind it is nothing: what the spool has put there is taken away.
	switch _, err := unix.Seek(p.fd, end, unix.SEEK_DATA); {
	case errors.Is(err, unix.ENXIO):
		return nil
	case err != nil:
		return err
	}
	if err := unix.Ftruncate(p.fd, end); err != nil {
		return err
	}
	return unix.Ftruncate(p.fd, f.sizeNow)
}

// same makes [from, to) what data has there; behind its end it is zero.
func (p *prop) same(from, to int64, data []byte) {
	for from < to {
		next := min((from/powercut.Page+1)*powercut.Page, to)
		has := max(from, min(next, int64(len(data))))
		if from < has {
			p.patch(from, data[from:has])
		}
		for has < next {
			n := min(next-has, sector)
			p.patch(has, zeros[:n])
			has += n
		}
		from = next
	}
}

func (p *prop) patch(at int64, b []byte) {
	if there := p.mem[at : at+int64(len(b))]; !bytes.Equal(there, b) {
		copy(there, b)
	}
}
