package accept

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// scripted fails with each error in turn, and then gives connections. close is called with the last error.
type scripted struct {
	net.Listener
	errs  []error
	close func()
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.errs) == 0 {
		c, _ := net.Pipe()
		return c, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	if s.close != nil && len(s.errs) == 0 {
		s.close()
	}
	return nil, err
}

func (*scripted) Close() error { return nil }

func opError(e syscall.Errno) error {
	return &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", e)}
}

func TestAShortageIsWaitedForAndSaidOnce(t *testing.T) {
	var out bytes.Buffer
	inner := &scripted{errs: []error{opError(syscall.EMFILE), opError(syscall.ENFILE), opError(syscall.ENOBUFS), opError(syscall.ENOMEM)}}
	ln := Through(inner, "http", slog.New(slog.NewTextHandler(&out, nil)))
	for range 2 {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "event=accept.short listener=http") || !strings.Contains(lines[1], "event=accept.resumed listener=http") {
		t.Errorf("logged:\n%s", out.String())
	}
}

func TestOtherErrorsAreGivenBack(t *testing.T) {
	inner := &scripted{errs: []error{net.ErrClosed}}
	if _, err := Through(inner, "http", slog.New(slog.DiscardHandler)).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want %v", err, net.ErrClosed)
	}
}

func TestAListenerClosedDuringAShortageEnds(t *testing.T) {
	inner := &scripted{errs: []error{opError(syscall.EMFILE)}}
	ln := Through(inner, "http", slog.New(slog.DiscardHandler))
	inner.close = func() { _ = ln.Close() }
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want %v", err, net.ErrClosed)
	}
}
