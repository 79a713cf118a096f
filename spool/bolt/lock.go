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

	"github.com/spoold/spoold/spool"
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
	// newest is a segment that held the state of the spool once, or 0. It is written after that commit, and only rises:
	// a directory without it, or a newer one, has lost a file.
	newest uint64
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
	if !create && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)) {
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	}
	if !create && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) {
		return nil, &NoSpoolError{Path: dir}
	}
	if errors.Is(err, unix.EROFS) {
		return nil, fmt.Errorf("lock the spool: %w: nothing can be spooled or delivered there until it is mounted for writing; spoold ls, peek and export show what it holds", err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the spool: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(f, 256))
	pid, id, newest := parseLock(string(text))
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
	return &lock{f: f, inode: st.Ino, spoolID: id, newest: newest, text: string(text)}, nil
}

// write puts our process id, the spool's id and the newest segment into the file. A process that opens its spool
// again, because the disk is full, finds them there and writes nothing: it might not get that far.
func (l *lock) write(spoolID string, newest uint64) error {
	l.spoolID = spoolID
	who := fmt.Sprintf("%d\n%s\n", os.Getpid(), spoolID)
	text := who + newestLine(newest)
	if l.text == text {
		l.newest = newest
		return nil
	}
	if len(l.text) == len(text) && strings.HasPrefix(l.text, who) {
		return l.note(newest)
	}
	if _, err := l.f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	if err := l.f.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	l.text, l.newest = text, newest
	return nil
}

// note writes durably that a newer segment holds the state now. Only that line changes, and keeps its length. A kill before
// it leaves the former number, which is still right.
func (l *lock) note(newest uint64) error {
	line := newestLine(newest)
	at := len(l.text) - len(line)
	_, err := l.f.WriteAt([]byte(line), int64(at))
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		if passing(err) {
			return nil // the next segment tries again
		}
		return fmt.Errorf("write the lock file: %w", err)
	}
	l.newest, l.text = newest, l.text[:at]+line
	return nil
}

// release gives the lock back. Closing alone would leave it held for as long as a process that was forked meanwhile
// has not yet become another program.
func (l *lock) release() {
	_ = unix.Flock(int(l.f.Fd()), unix.LOCK_UN)
	_ = l.f.Close()
}

// newestLine is the last line of the file: the newest segment, and a checksum, since a power cut may tear the line.
func newestLine(newest uint64) string {
	digits := fmt.Sprintf("%020d", newest)
	return fmt.Sprintf("%s %08x\n", digits, spool.CRC([]byte(digits)))
}

// parseLock reads the file; newest is 0 where the line is missing or torn.
func parseLock(text string) (pid int, spoolID string, newest uint64) {
	lines := strings.Split(text, "\n")
	pid, _ = strconv.Atoi(lines[0])
	if len(lines) > 1 {
		spoolID = lines[1]
	}
	if len(lines) > 2 {
		digits, _, _ := strings.Cut(lines[2], " ")
		if n, err := strconv.ParseUint(digits, 10, 63); err == nil && newestLine(n) == lines[2]+"\n" {
			newest = n
		}
	}
	return pid, spoolID, newest
}

// machineID names the host, or is "" where nothing does.
func machineID() string {
	b, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
