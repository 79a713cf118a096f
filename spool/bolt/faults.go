package bolt

import (
	"errors"
	"os"

	bbolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/spoold/spoold/internal/shortage"
)

// Faults is what a test or a simulation puts between a Store and the system. The zero value
// puts nothing there. No program of the product sets it.
type Faults struct {
	Boot      func() int64                               // CLOCK_BOOTTIME, ms
	Free      func(dir string) (uint64, error)           // bytes free on the file system
	Total     func(dir string) (uint64, error)           // bytes of the file system
	Fallocate func(f *os.File, offset, size int64) error // nil: the system's
	// Commit makes a bbolt transaction durable, or does not: commit is bbolt's own.
	Commit func(commit func() error) error
	// Point is called between two steps that a crash may part, by the goroutine that does them.
	Point func(name string)
	// Go does work in the background; nil: in a goroutine of its own. It may do it at once, or when it
	// likes, but must do it before the Store can end.
	Go func(work func())
	// AllocSize is by how much files grow; 0: bbolt's 16 MiB. Small files make a crash state cheap.
	AllocSize int
	// Ordered: the lowest free pages are used first. Else it is chance, and with it how large a file becomes.
	Ordered bool
}

func (fl *Faults) freelist() bbolt.FreelistType {
	if fl.Ordered {
		return bbolt.FreelistArrayType
	}
	return bbolt.FreelistMapType
}

func (fl *Faults) at(point string) {
	if fl.Point != nil {
		fl.Point(point)
	}
}

// background does work that Close waits for.
func (s *Store) background(work func()) {
	s.begin.Lock()
	s.work.Add(1)
	s.begin.Unlock()
	counted := func() {
		defer s.work.Done()
		work()
	}
	if s.opt.Faults.Go == nil {
		go counted()
		return
	}
	s.opt.Faults.Go(counted)
}

func (fl *Faults) freeBytes(dir string) (uint64, error) {
	if fl.Free != nil {
		return fl.Free(dir)
	}
	st, err := statfs(dir)
	return st.Bavail * uint64(st.Bsize), err
}

func (fl *Faults) totalBytes(dir string) (uint64, error) {
	if fl.Total != nil {
		return fl.Total(dir)
	}
	st, err := statfs(dir)
	return st.Blocks * uint64(st.Bsize), err
}

func statfs(dir string) (st unix.Statfs_t, err error) {
	err = unix.Statfs(dir, &st)
	return st, onFile("statfs", dir, err)
}

// File systems that never write in place: a file that owns its blocks needs others all the same.
const (
	magicBtrfs    = 0x9123683e
	magicZFS      = 0x2fc12fc1
	magicBcachefs = 0xca451a4e
	magicF2FS     = 0xf2f52010
)

// copiesOnWrite reports whether dir is on a file system that never writes in place.
func copiesOnWrite(dir string) bool {
	st, err := statfs(dir)
	if err != nil {
		return false
	}
	switch uint32(st.Type) {
	case magicBtrfs, magicZFS, magicBcachefs, magicF2FS:
		return true
	}
	return false
}

// errNoAllocate: the file system cannot allocate ahead.
var errNoAllocate = errors.New("the file system cannot allocate ahead")

// allocate makes the file own its blocks from offset on.
func (fl *Faults) allocate(f *os.File, offset, size int64) error {
	fallocate := fl.Fallocate
	if fallocate == nil {
		fallocate = func(f *os.File, offset, size int64) error {
			for {
				err := unix.Fallocate(int(f.Fd()), 0, offset, size)
				if !errors.Is(err, unix.EINTR) {
					return err
				}
			}
		}
	}
	err := fallocate(f, offset, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return errNoAllocate
	}
	if err != nil {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}

func (fl *Faults) commitTx(tx *bbolt.Tx) error {
	if fl.Commit == nil {
		return tx.Commit()
	}
	asked := false
	err := fl.Commit(func() error { asked = true; return tx.Commit() })
	if !asked {
		_ = tx.Rollback() // it never fails on a transaction that is open
	}
	return err
}

// noSpace reports whether err means that there is no room on the disk, or in a quota.
func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// passing reports whether err means that the system lacks something now that it may have later: room, descriptors, memory.
func passing(err error) bool { return noSpace(err) || shortage.Is(err) }

// fullWrite reports whether a commit failed for want of room, in a write: a sync that failed
// leaves behind what is not known.
func fullWrite(err error) bool {
	var p *os.PathError
	return errors.As(err, &p) && p.Op == "write" && noSpace(err)
}
