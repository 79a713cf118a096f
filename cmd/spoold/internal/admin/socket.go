package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
// reach it, and root: the directory and the socket are private, and each connection is asked for its user.
func ListenUnix(ctx context.Context, dir string, log *slog.Logger) (net.Listener, error) {
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
	return &unixListener{ln, path, log}, nil
}

// unixListener removes its file by the true path: the short one is valid only
// while the directory's descriptor is open.
type unixListener struct {
	net.Listener
	path string
	log  *slog.Logger
}

// Accept gives connections of the daemon's own user and of root, and closes others.
func (l *unixListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, known, err := peer(c)
		if err == nil && (!known || mayUse(uid, os.Geteuid())) {
			return c, nil
		}
		_ = c.Close()
		l.log.Warn("a connection of another user was refused on the spool's socket", "event", "admin.refused", "uid", uid, "err", err)
	}
}

// mayUse reports whether a user may use what belongs to owner.
func mayUse(uid uint32, owner int) bool { return uid == 0 || int(uid) == owner }

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
		return nil, notAllowed(dir, fmt.Errorf("socket: %w", err))
	}
	defer done()
	c, err := new(net.Dialer).DialContext(ctx, "unix", short)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return nil, ErrNoDaemon
	}
	if err != nil {
		return nil, notAllowed(dir, fmt.Errorf("socket: %w", err))
	}
	if err := ofOwner(c, dir); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// notAllowed says what to do where this user may not look into the spool.
func notAllowed(dir string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("only the user who has the spool %s, and root, may look into it: run the command as that user (whether a daemon runs there is not known): %w", dir, fs.ErrPermission)
}

// ofOwner says whether the daemon is of the user whose spool it is: a socket that somebody else put there is not to be
// believed, nor given anything.
func ofOwner(c net.Conn, dir string) error {
	uid, known, err := peer(c)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if !known {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if owner := ownerOf(info); !mayUse(uid, owner) {
		return fmt.Errorf("socket: %s belongs to user %d, but user %d answers on its %s: it is not asked", dir, owner, uid, SocketName)
	}
	return nil
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
