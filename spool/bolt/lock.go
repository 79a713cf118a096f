package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// lock is the file that says who has the spool. Its inode is part of what the
// spool is bound to: a copy has another one.
type lock struct {
	f       *os.File
	inode   uint64
	spoolID string // of the spool that was made here, or ""
	text    string // what is in it
}

// takeLock locks the directory. Without create the file must be there, and is shared with others
// who only look.
func takeLock(dir string, create bool) (*lock, error) {
	path := filepath.Join(dir, lockName)
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if !create && errors.Is(err, fs.ErrPermission) {
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the spool: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(f, 256))
	pid, id := parseLock(string(text))
	how := unix.LOCK_EX
	if !create {
		how = unix.LOCK_SH // several may look at once
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &LockedError{Path: dir, PID: pid}
		}
		return nil, fmt.Errorf("lock the spool: %w", onFile("flock", path, err))
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the spool: %w", onFile("stat", path, err))
	}
	return &lock{f: f, inode: st.Ino, spoolID: id, text: string(text)}, nil
}

// write puts our process id and the spool's id into the file. A process that opens its spool
// again, because the disk is full, finds them there and writes nothing: it might not get that far.
func (l *lock) write(spoolID string) error {
	l.spoolID = spoolID
	text := fmt.Sprintf("%d\n%s\n", os.Getpid(), spoolID)
	if l.text == text {
		return nil
	}
	if _, err := l.f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	if err := l.f.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	l.text = text
	return nil
}

func (l *lock) release() { _ = l.f.Close() }

func parseLock(text string) (pid int, spoolID string) {
	lines := strings.Split(text, "\n")
	pid, _ = strconv.Atoi(lines[0])
	if len(lines) > 1 {
		spoolID = lines[1]
	}
	return pid, spoolID
}

// machineID names the host, or is "" where nothing does.
func machineID() string {
	b, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
