package bolt

import (
	"errors"
	"os"

	bbolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// faults is what a test may put between the Store and the system. The zero value
// puts nothing there.
type faults struct {
	boot      func() int64                               // CLOCK_BOOTTIME, ms
	free      func(dir string) (uint64, error)           // bytes free on the file system
	fallocate func(f *os.File, offset, size int64) error // nil: the system's
	commit    func(tx *bbolt.Tx) error                   // nil: tx.Commit
	point     func(name string)                          // called between two steps that a crash may part
}

func (fl *faults) at(point string) {
	if fl.point != nil {
		fl.point(point)
	}
}

func (fl *faults) freeBytes(dir string) (uint64, error) {
	if fl.free != nil {
		return fl.free(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// allocate makes the file own its blocks from offset on. Where the file system cannot, it does nothing.
func (fl *faults) allocate(f *os.File, offset, size int64) error {
	fallocate := fl.fallocate
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
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}

func (fl *faults) commitTx(tx *bbolt.Tx) error {
	if fl.commit != nil {
		return fl.commit(tx)
	}
	return tx.Commit()
}

// noSpace reports whether err means that there is no room on the disk, or in a quota.
func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// fullWrite reports whether a commit failed for want of room, in a write: a sync that failed
// leaves behind what nobody knows.
func fullWrite(err error) bool {
	var p *os.PathError
	return errors.As(err, &p) && p.Op == "write" && noSpace(err)
}
