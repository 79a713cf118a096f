package support

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Tail is the end of a file, from a line's beginning on.
func Tail(file string, size int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	from := max(info.Size()-size, 0)
	text, err := io.ReadAll(io.NewSectionReader(f, from, size))
	if from > 0 {
		if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
			text = rest
		}
	}
	return text, err
}

// Journal is the end of what a unit wrote to systemd's journal.
func Journal(ctx context.Context, unit string, lines int) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "journalctl", "--unit", unit, "--lines", fmt.Sprint(lines), "--output", "cat", "--no-pager", "--quiet")
	cmd.WaitDelay = time.Second
	text, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return text, fmt.Errorf("journalctl: %s", bytes.TrimSpace(failed.Stderr))
	}
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("the journal has no line of %s that this user may read", unit)
	}
	return text, err
}

// Listing is names, sizes, modes and times of what is in a directory. No file is opened.
func Listing(dir string) ([]byte, error) {
	var out bytes.Buffer
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(&out, "%v\n", err)
			return nil
		}
		if count++; count > 20_000 {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			fmt.Fprintf(&out, "%v\n", err)
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			name = path
		}
		owned := int64(0)
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil {
			owned = st.Blocks * 512
		}
		fmt.Fprintf(&out, "%s %6d:%-6d %12d bytes %12d on disk  %s  %s\n", info.Mode(), st.Uid, st.Gid, info.Size(), owned,
			info.ModTime().UTC().Format(time.RFC3339), name)
		return nil
	})
	return out.Bytes(), err
}

// hostFiles say what machine it is. None of them has a secret.
var hostFiles = []string{"/etc/os-release", "/proc/version", "/proc/loadavg", "/proc/meminfo", "/proc/uptime", "/proc/pressure/io",
	"/proc/pressure/cpu", "/proc/pressure/memory", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max"}

// Host is what there is to say of this machine, and of the process with this id if it is not 0.
func Host(dir string, pid int) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "time %s\nsystem %s/%s, %d processors\n", time.Now().UTC().Format(time.RFC3339), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		fmt.Fprintf(&out, "file system of %s: %v\n", dir, err)
	} else {
		fmt.Fprintf(&out, "file system of %s: type %#x, flags %#x, %d bytes, %d available, %d inodes free\n",
			dir, st.Type, st.Flags, int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize, st.Ffree)
	}
	files := hostFiles
	if pid > 0 {
		for _, name := range []string{"status", "limits", "io", "cgroup", "oom_score"} {
			files = append(files, fmt.Sprintf("/proc/%d/%s", pid, name))
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&out, "\n== %s\n%s\n", file, bytes.TrimSpace(text))
	}
	return out.Bytes(), nil
}
