package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	segmentPrefix = "spoold-"
	segmentSuffix = ".db"
	tempSuffix    = ".tmp"
)

// txidMade is bbolt's number of the last commit of createSegment: its own file begins with 0 and 1.
const txidMade = 3

func segmentName(number uint64) string {
	return fmt.Sprintf("%s%08d%s", segmentPrefix, number, segmentSuffix)
}

func segmentPath(dir string, number uint64) string { return filepath.Join(dir, segmentName(number)) }

// segmentNumber reads a file's name.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, segmentSuffix); !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, err == nil && n > 0 && segmentName(n) == name
}

// createSegment makes an empty segment under a temporary name, durably, with size bytes of its own. bbolt's own creation
// is not power-safe, so it is made with two commits: both meta pages are real ones. nameSegment gives it its name.
func createSegment(dir string, number uint64, size int64, fl *Faults) (err error) {
	path := filepath.Join(dir, segmentName(number))
	temp := path + tempSuffix
	_ = os.Remove(temp)
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
			err = fmt.Errorf("create segment %d: %w", number, onFile("create", path, err))
		}
	}()
	db, f, err := openBolt(temp, 0, fl)
	if err != nil {
		return err
	}
	if err = fl.allocate(f, 0, size); errors.Is(err, errNoAllocate) {
		err = nil
	}
	for range 2 {
		if err == nil {
			err = db.Update(func(*bbolt.Tx) error { return nil })
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, db.Close())
}

// nameSegment gives a segment that createSegment made its name, durably. d is the directory.
func nameSegment(d *os.File, number uint64, fl *Faults) error {
	path := filepath.Join(d.Name(), segmentName(number))
	fl.at("segment made")
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return fmt.Errorf("create segment %d: %w", number, onFile("rename", path, err))
	}
	fl.at("segment renamed")
	if err := d.Sync(); err != nil {
		return fmt.Errorf("create segment %d: %w", number, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openBolt opens a file with bbolt, and keeps the *os.File. The file must have been walked.
func openBolt(path string, mmapSize int64, fl *Faults) (*bbolt.DB, *os.File, error) {
	var f *os.File
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		NoFreelistSync:  true,
		FreelistType:    fl.freelist(),
		InitialMmapSize: int(mmapSize),
		PageSize:        pageSize,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			f, err = os.OpenFile(name, flag|unix.O_NOFOLLOW, mode)
			return f, err
		},
	})
	if err == nil && fl.AllocSize > 0 {
		db.AllocSize = fl.AllocSize
	}
	return db, f, onFile("open", path, err)
}

// onFile names the file in an error of the system that does not: bbolt hands on bare error
// numbers. Callers recognize a failure of the disk by its *os.PathError.
func onFile(op, path string, err error) error {
	var named *os.PathError
	var errno unix.Errno
	if errors.As(err, &named) || !errors.As(err, &errno) {
		return err
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// dropCache makes sure that what we read is what is on disk: after a failed
// sync the page cache holds, as clean, what never got there.
func dropCache(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if err == nil {
		err = onFile("fadvise", path, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// listSegments gives the numbers of the segment files, ascending, and the names of
// temporary ones.
func listSegments(dir string) (numbers []uint64, temps []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if n, ok := segmentNumber(e.Name()); ok {
			numbers = append(numbers, n)
		} else if strings.HasPrefix(e.Name(), segmentPrefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			temps = append(temps, e.Name())
		}
	}
	slices.Sort(numbers)
	return numbers, temps, nil
}

// removeFile removes a file that may be gone already.
func removeFile(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// active is the segment that takes commits. The committer owns it, except where
// readers look under Store.view: index.
type active struct {
	number    uint64
	db        *bbolt.DB
	file      *os.File
	head      spool.Head
	index     *index
	hwm       int64 // bytes in use, by the last commit
	allocated int64 // bytes that the file owns on disk
	keyBytes  int64
	// stateBytes is what the pairs of the state take.
	stateBytes int64
}

// liveBytes is what decides about rotation: pages of blocks that are needed.
func (a *active) liveBytes() int64 { return a.index.bytes + a.keyBytes }

// pagesOf is what a bucket with one value takes on disk, about.
func pagesOf(size int) int64 {
	return (int64(size) + 64 + pageSize - 1) / pageSize * pageSize
}

// removed says that somebody has removed the file from its directory: what is written there is gone with the process.
func (a *active) removed() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(a.file.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: strings.TrimSuffix(a.file.Name(), tempSuffix), Err: err}
	}
	if st.Nlink == 0 {
		return &os.PathError{Op: "write", Path: strings.TrimSuffix(a.file.Name(), tempSuffix), Err: errRemoved}
	}
	return nil
}

var errRemoved = errors.New("somebody has removed the spool's file or its directory while it was in use: what was pending there is lost, unless there is a copy")
