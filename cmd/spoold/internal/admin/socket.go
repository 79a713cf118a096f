package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// SocketName is the daemon's socket in its spool directory.
const SocketName = "spoold.sock"

// maxSocketPath is the longest path that a unix socket's address holds.
const maxSocketPath = 107

// ListenUnix opens the socket in dir. The caller holds the spool's lock, so a socket
// that is there already was left by a dead process. Only the spool's owner can
// reach it: the directory is private.
func ListenUnix(ctx context.Context, dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("old socket: %w", err)
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer done()
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), ln.Close())
	}
	return &unixListener{ln, path}, nil
}

// unixListener removes its file by the true path: the short one is valid only
// while the directory's descriptor is open.
type unixListener struct {
	net.Listener
	path string
}

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	if err == nil {
		err = os.Remove(l.path)
	}
	return err
}

// ErrNoDaemon says that nobody listens on the socket.
var ErrNoDaemon = errors.New("no daemon runs on this spool")

// DialUnix connects to the daemon that has the spool at dir, or says ErrNoDaemon.
func DialUnix(ctx context.Context, dir string) (net.Conn, error) {
	short, done, err := shorten(filepath.Join(dir, SocketName))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoDaemon
		}
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer done()
	c, err := new(net.Dialer).DialContext(ctx, "unix", short)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNoDaemon
	}
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	return c, nil
}

// shorten gives a path that fits an address: a long one goes through its directory's
// descriptor. done closes that.
func shorten(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { _ = dir.Close() }, nil
}
