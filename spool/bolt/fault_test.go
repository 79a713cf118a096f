package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

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
	for _, err := range []error{nil, errors.New("timeout"), ErrClosed} {
		if got := onFile("create", "x", err); got != err {
			t.Errorf("onFile(%v) = %v", err, got)
		}
	}
}
