package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// unixPrefix begins an http.listen that is a path.
const unixPrefix = "unix:"

// checkHTTPListen is checkListen, and takes a unix socket, too.
func checkHTTPListen(addr string) error {
	path, ok := strings.CutPrefix(addr, unixPrefix)
	switch {
	case !ok:
		if err := checkListen(addr); err != nil {
			return fmt.Errorf("%w, or unix:PATH", err)
		}
	case !filepath.IsAbs(path):
		return errors.New("needs an absolute path, such as unix:/run/spoold/http.sock")
	case len(path) > 107 || len(filepath.Dir(path)) > 80:
		return errors.New("is too long for a socket: at most 107 bytes, and 80 of its folder")
	}
	return nil
}

// fileMode is a mode as chmod writes it.
func fileMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, errors.New("must be octal digits from 0000 to 0777, such as 0660")
	}
	return fs.FileMode(n), nil
}

// listenOn opens http.listen. Who may connect to a socket is what its mode says.
func listenOn(ctx context.Context, addr, mode string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, unixPrefix)
	if !ok {
		return new(net.ListenConfig).Listen(ctx, "tcp", addr)
	}
	perm, err := fileMode(mode)
	if err != nil {
		return nil, err // the configuration was checked
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	// The file is made for nobody, and opened by its mode once that is set: umask holds for the whole process, and other
	// files are made at the same time.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".spoold-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // empty by then, or the listener has failed
	made := filepath.Join(dir, "s")
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = os.Chmod(made, perm); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &socketListener{ln, path}, nil
}

// removeStale removes the socket of a process that has died. Anything else at its place stays, and is an error.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already and is no socket: move it away", path)
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another process listens on %s", path), c.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("whether another process listens on it cannot be seen: %w", err)
}

// socketListener removes its file in the end.
type socketListener struct {
	net.Listener
	path string
}

// Addr is the path by which clients find it.
func (l *socketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *socketListener) Close() error {
	err := os.Remove(l.path) // first: as soon as nobody listens, another process may put its own there
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.Listener.Close())
}
