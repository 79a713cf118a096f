package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bbolt hands on bare error numbers, and os.Rename has an error of its own: neither says "the disk" to
// those who look for an *fs.PathError, and the program ended with the code for a bug in it.
func TestErrorOfTheDiskNamesAFileAtTheStartToo(t *testing.T) {
	for _, err := range []error{
		unix.EIO,
		fmt.Errorf("mmap: %w", unix.EIO),
		&os.LinkError{Op: "rename", Old: "a", New: "b", Err: unix.EIO},
		&fs.PathError{Op: "write", Path: "spool/x", Err: unix.EIO},
	} {
		got := onFile("create", "spool/x", err)
		var path *fs.PathError
		if !errors.As(got, &path) || !errors.Is(got, unix.EIO) || !strings.Contains(got.Error(), "spool/x") {
			t.Errorf("onFile(%v) = %v", err, got)
		}
	}
	var path *fs.PathError
	if got := onFile("create", "x", ErrClosed); !errors.Is(got, ErrClosed) || errors.As(got, &path) {
		t.Errorf("onFile(%v) = %v", ErrClosed, got)
	}
	if got := onFile("create", "x", nil); got != nil {
		t.Errorf("onFile(nil) = %v", got)
	}
}

// On a full disk of a kind that writes nothing in place, one more write is one too many.
func TestSpoolOpenedAgainByItsProcessLeavesTheLockFileAlone(t *testing.T) {
	o := tinyOptions(t.TempDir())
	path := filepath.Join(o.Path, lockName)
	var at [3]time.Time
	for i := range at {
		l, _ := openLoop(t, o)
		l.close()
		if i == 0 { // so that another write would be seen however coarse the clock is
			if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		at[i] = info.ModTime()
	}
	if at[1] != at[0] || at[2] != at[0] {
		t.Errorf("the lock file was written at %v", at)
	}
}
