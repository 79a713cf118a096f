package proc

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what the kernel says that a process has and has used.
type Usage struct {
	Anon, File  int64 // resident memory in bytes: of its own, and pages of mapped files
	Threads     int
	Descriptors int           // open ones
	Written     int64         // bytes that it caused to be written to disk, so far
	CPU         time.Duration // used so far
}

// tick is the unit of CPU times in /proc: 1/100 s on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// Use asks about a process that runs.
func Use(pid int) (Usage, error) {
	var u Usage
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, fmt.Errorf("proc: %w", err)
	}
	u.Anon = field(status, "RssAnon:") << 10
	u.File = field(status, "RssFile:") << 10
	u.Threads = int(field(status, "Threads:"))
	if u.Anon == 0 {
		return u, fmt.Errorf("proc: process %d has no memory: it has ended", pid)
	}
	io, err := os.ReadFile(dir + "io")
	if err != nil {
		return u, fmt.Errorf("proc: %w", err)
	}
	u.Written = field(io, "write_bytes:")
	open, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, fmt.Errorf("proc: %w", err)
	}
	u.Descriptors = len(open)
	if u.CPU, err = cpu(dir + "stat"); err != nil {
		return u, err
	}
	return u, nil
}

// Switches is how often all threads of a process have gone to sleep so far: it grows when one of them has run.
func Switches(pid int) (int64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("proc: process %d has no threads: %w", pid, cmp.Or(err, os.ErrNotExist))
	}
	sum := int64(0)
	for _, name := range files {
		if status, err := os.ReadFile(name); err == nil { // a thread may have ended
			sum += field(status, "voluntary_ctxt_switches:")
		}
	}
	return sum, nil
}

// field is the number behind a name in a file of lines; 0 if it is not there.
func field(text []byte, name string) int64 {
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// cpu is user and system time: the 14th and 15th field, counted before the command's name, which may hold anything.
func cpu(path string) (time.Duration, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("proc: %w", err)
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("proc: %s: %q", path, raw)
	}
	var sum int64
	for _, text := range f[11:13] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("proc: %s: %w", path, err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}
