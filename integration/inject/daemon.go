package inject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/crash"
)

// Fault is what strace does to one call.
type Fault struct {
	Call string // system call
	Do   string // "signal=KILL" or "error=EIO", as strace calls it
	When int    // 1 is the first call of each thread
	More int    // how many calls after it meet the same
}

func (f Fault) String() string {
	if f.More > 0 {
		return fmt.Sprintf("%s:%s:when=%d..%d", f.Call, f.Do, f.When, f.When+f.More)
	}
	return fmt.Sprintf("%s:%s:when=%d", f.Call, f.Do, f.When)
}

// slow has the other one of writes and syncs take a while, as on a slow disk: what the daemon tells somebody too early, it tells
// before it is killed.
func (f Fault) slow() string {
	if f.Call == "pwrite64" {
		return "fdatasync:delay_enter=1000" // µs
	}
	return "pwrite64:delay_exit=300"
}

// outlived reports whether the daemon goes on after the fault: a disk that is full, but not one that says so at a sync.
func (f Fault) outlived() bool { return f.Do == "error=ENOSPC" && f.Call != "fdatasync" }

// Daemon is one life of `spoold serve`.
type Daemon struct {
	*crash.Daemon
	fault *Fault // or nil
	trace string // strace's log, or ""
}

// How is how a daemon with a fault runs.
type How struct {
	Threads int  // GOMAXPROCS; 0: its own choice
	Slow    bool // the disk, if the fault is a kill
}

// Start starts the daemon on a spool, under strace if there is a fault. The broker is one that nobody reaches.
func Start(bin, spool string, fault *Fault, dir string, how How) (*Daemon, error) {
	d := &Daemon{fault: fault, Daemon: &crash.Daemon{Bin: bin, HTTP: "127.0.0.1:0", Admin: "off", Spool: spool, Bootstrap: "127.0.0.1:1",
		Keys: map[string]string{"spool.segment.bytes": "65536", "spool.min.free.bytes": "0", "shutdown.timeout": "2s"}}}
	if fault != nil {
		d.trace = filepath.Join(dir, "strace")
		pre := []string{"strace", "-f", "-y", "-qq", "-o", d.trace, "-e", "trace=pwrite64,fdatasync," + fault.Call, "-e", "inject=" + fault.String()}
		switch kill := strings.HasPrefix(fault.Do, "signal="); {
		case !kill: // strace 6.1 injects no signal with it
			pre = append(pre, "--seccomp-bpf") // other calls are not stopped for
		case how.Slow:
			pre = append(pre, "-e", "inject="+fault.slow())
		}
		if fault.Call == "openat" || fault.Call == "pread64" { // the others it makes on nothing but its spool
			for _, path := range spoolPaths(spool) {
				pre = append(pre, "-P", path)
			}
		}
		d.Before = pre
	}
	if how.Threads > 0 {
		d.Env = []string{"GOMAXPROCS=" + strconv.Itoa(how.Threads)}
	}
	return d, d.Start()
}

// spoolPaths are the files that a short life may touch: strace wants each by its name.
func spoolPaths(spool string) []string {
	paths := []string{spool, filepath.Join(spool, "lock")}
	for n := range 100 {
		path := filepath.Join(spool, fmt.Sprintf("spoold-%08d.db", n+1))
		paths = append(paths, path, path+".tmp")
	}
	return paths
}

// Ready waits until the daemon takes requests, and reports whether it does: false means that it ended.
func (d *Daemon) Ready(ctx context.Context) (bool, error) {
	select {
	case <-d.Up():
		return true, nil
	case <-d.Daemon.Ended():
		return false, nil
	case <-ctx.Done():
		return false, errors.Join(fmt.Errorf("inject: not ready: %w", context.Cause(ctx)), d.End())
	}
}

// Ended waits a while for the process to end by itself; 0 only looks.
func (d *Daemon) Ended(patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-d.Daemon.Ended():
		return true
	case <-ctx.Done():
		return patience == 0 && !d.Running()
	}
}

// Code is the exit status, -1 for a signal. The process must have ended.
func (d *Daemon) Code() int {
	code, err := d.Wait(context.Background())
	if err != nil {
		panic(err) // nothing ends this wait but the process
	}
	return code
}

// Log is the end of what it wrote. The process must have ended.
func (d *Daemon) Log() string {
	_ = d.Code() // until then something may be missing
	return d.Tail()
}

// Stop ends the daemon by SIGTERM, also below strace, which takes no signals itself.
func (d *Daemon) Stop() error {
	pid := d.Pid()
	if d.trace != "" {
		var err error
		if pid, err = onlyChild(pid); err != nil {
			return errors.Join(err, d.End())
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("inject: %w", err)
	}
	if d.Ended(20 * time.Second) {
		return nil
	}
	return errors.Join(fmt.Errorf("inject: process %d did not end within 20 s of SIGTERM", pid), syscall.Kill(pid, syscall.SIGKILL), d.End())
}

func onlyChild(pid int) (int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("inject: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// Written is the first write or sync of a segment that the daemon began after the fault had been injected, or "".
func (d *Daemon) Written() string {
	_, first := d.Injected()
	raw, err := os.ReadFile(d.trace)
	if err != nil {
		return ""
	}
	seen := false
	for line := range strings.Lines(string(raw)) {
		switch line = strings.TrimSpace(line); {
		case line == first:
			seen = true
		case seen && strings.Contains(line, "/spoold-") && (strings.Contains(line, " pwrite64(") || strings.Contains(line, " fdatasync(")):
			return line
		}
	}
	return ""
}

// Injected is how often the fault was injected, and the first line that says so. Of a full disk it is, if there is one, the first that is not about
// a segment in the making.
func (d *Daemon) Injected() (n int, first string) {
	raw, err := os.ReadFile(d.trace)
	if err != nil {
		return 0, ""
	}
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "(INJECTED)") {
			n++
			spared := d.fault.Do == "error=ENOSPC" && strings.Contains(first, ".db.tmp")
			if first == "" || spared && !strings.Contains(line, ".db.tmp") {
				first = strings.TrimSpace(line)
			}
		}
	}
	return n, first
}
