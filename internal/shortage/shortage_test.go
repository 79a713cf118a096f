package shortage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestOnlyWhatTheHostLacksIsAShortage(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{syscall.EMFILE, true},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.ENFILE}, true},
		{fmt.Errorf("read: %w", &os.SyscallError{Syscall: "accept4", Err: syscall.ENOMEM}), true},
		{errors.Join(errors.New("first"), syscall.ENOBUFS), true},
		{nil, false},
		{fs.ErrNotExist, false},
		{syscall.ENOSPC, false},
		{syscall.EIO, false},
	} {
		if got := Is(tt.err); got != tt.want {
			t.Errorf("Is(%v) = %v", tt.err, got)
		}
	}
}
