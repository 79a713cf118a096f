package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// output is standard output. It remembers that something could not be written there: a script would take silence for success.
type output struct {
	io.Writer
	mu     sync.Mutex
	looked bool // whether it was closed
	failed error
}

var errClosed = errors.New("it is closed")

func (o *output) Write(b []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f, ok := o.Writer.(*os.File); ok && !o.looked && wasClosed(f) {
		o.failed = errClosed
	}
	o.looked = true
	if errors.Is(o.failed, errClosed) {
		return 0, o.failed
	}
	if n, err = o.Writer.Write(b); err != nil && o.failed == nil {
		o.failed = err
	}
	return n, err
}

// fault replaces the error of a command whose standard output could not be written, unless it says something else.
func (o *output) fault(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil || err != nil && !errors.Is(err, o.failed) && !said(err) {
		return err
	}
	return exitf(exitIO, "the result cannot be written to stdout: %w", o.failed)
}

// said reports whether everything was said of an error: all of that on standard output, maybe.
func said(err error) bool {
	var coded *exitError
	return errors.As(err, &coded) && coded.err == nil
}

// wasClosed reports whether the program was started without this file. The runtime puts the null device in its place, open for
// reading, too, as no shell opens it for output.
func wasClosed(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return true
	}
	var own, null unix.Stat_t
	if unix.Fstat(int(f.Fd()), &own) != nil || unix.Stat(os.DevNull, &null) != nil {
		return false
	}
	return own.Rdev == null.Rdev && own.Mode&unix.S_IFMT == unix.S_IFCHR && flags&unix.O_ACCMODE == unix.O_RDWR
}
