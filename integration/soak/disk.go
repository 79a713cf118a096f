package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is a small file system of its own: ext4 on a file. It is taken out of the directory tree as soon as it is
// mounted, and reached through a descriptor of this process: when the process ends, however it does, the kernel
// frees it. One goroutine fills and empties it.
type Disk struct {
	dir, image *os.File
	balloon    *os.File // nil: not filled
}

// NewDisk makes one of so many bytes. The file is in dir, and holds only what is written to the disk.
func NewDisk(ctx context.Context, dir string, size int64) (_ *Disk, err error) {
	path, at := filepath.Join(dir, "disk"), filepath.Join(dir, "mount")
	image, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("soak: disk: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, image.Close())
		}
	}()
	if err := errors.Join(image.Truncate(size), os.Mkdir(at, 0o755)); err != nil {
		return nil, fmt.Errorf("soak: disk: %w", err)
	}
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", path},
		{"mount", "-o", "loop", path, at},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("soak: disk: %v (needs root and loop devices): %w\n%s", args, err, out.String())
		}
	}
	d := &Disk{image: image}
	d.dir, err = os.Open(at)
	if err := errors.Join(err, syscall.Unmount(at, syscall.MNT_DETACH), os.Remove(path)); err != nil {
		return nil, fmt.Errorf("soak: disk: %w", err)
	}
	return d, nil
}

// Path is its root. It can be used by other processes, as long as this one lives.
func (d *Disk) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), d.dir.Fd()) }

// Free is how many bytes nothing has.
func (d *Disk) Free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(d.dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("soak: disk: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Written is how many bytes were written to it so far, by the file system itself, too. What the kernel says of a
// process's writes is more than that: it counts whatever a written byte made dirty.
func (d *Disk) Written() (int64, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(d.dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("soak: disk: %w", err)
	}
	raw, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return 0, fmt.Errorf("soak: disk: %w", err)
	}
	f := strings.Fields(string(raw))
	if len(f) < 7 {
		return 0, fmt.Errorf("soak: disk: its statistics are %q", raw)
	}
	sectors, err := strconv.ParseInt(f[6], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("soak: disk: its statistics: %w", err)
	}
	return sectors * 512, nil
}

// Fill lets a file grow until at most leave bytes are free.
func (d *Disk) Fill(leave int64) error {
	if d.balloon == nil {
		f, err := os.Create(filepath.Join(d.Path(), "balloon"))
		if err != nil {
			return fmt.Errorf("soak: fill the disk: %w", err)
		}
		d.balloon = f
	}
	for part := int64(1); part <= 1<<20; {
		free, err := d.Free()
		if err != nil {
			return err
		}
		want := (free - leave) / part
		if want < 4096 {
			return nil
		}
		st, err := d.balloon.Stat()
		if err != nil {
			return fmt.Errorf("soak: fill the disk: %w", err)
		}
		err = syscall.Fallocate(int(d.balloon.Fd()), 0, st.Size(), want)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			part *= 2 // somebody was quicker, or the file system needs some for itself
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("soak: fill the disk: %w", err)
		}
	}
	return nil
}

// Empty takes the file away.
func (d *Disk) Empty() error {
	if d.balloon == nil {
		return nil
	}
	err := errors.Join(os.Remove(d.balloon.Name()), d.balloon.Close())
	d.balloon = nil
	if err != nil {
		return fmt.Errorf("soak: empty the disk: %w", err)
	}
	return nil
}

// Close gives it back. Nobody may have a file on it.
func (d *Disk) Close() error { return errors.Join(d.dir.Close(), d.image.Close()) }
