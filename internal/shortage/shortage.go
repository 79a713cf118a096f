package shortage

import (
	"errors"
	"syscall"
)

// Is reports whether err means that the system has no descriptor or no memory left for a call: it says nothing about a file, a
// directory or a connection, and the same call may succeed later.
func Is(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
