package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// Host is what the configuration wants of this machine.
type Host struct {
	SpoolPath      string
	MaxBytes       int64 // spool.max.bytes
	MinFreeBytes   int64 // spool.min.free.bytes
	Connections    int   // http.max.connections, if HTTP is on
	ProgramBuiltAt time.Time

	Refused   error  // why a daemon does not start on the spool; nil: it does
	Remedy    string // of it
	Suspect   string // what is wrong with the spool, though a daemon starts; "": nothing
	Silent    string // why the daemon that runs is not known to be well: it does not answer; "": it does
	SpoolFull string // why the daemon that runs takes no record; "": it does
}

// leastRoom is what a spool needs to take anything.
const leastRoom = 1 << 20

const (
	syncTries = 20
	slowSync  = 50 * time.Millisecond
	fastSync  = 20 * time.Microsecond // no device that keeps its word is as fast
	// SpareFiles are descriptors besides HTTP connections: segments, brokers, sockets, files that are followed.
	SpareFiles = 256
)

// Look looks at this machine: directory, file system, disk, descriptors and clock.
func (h *Host) Look(ctx context.Context, r *Report) {
	dir, ok := h.directory(r)
	if ok {
		fileSystem(r, dir)
		h.space(r, dir)
		syncs(ctx, r, dir)
	}
	h.descriptors(r)
	h.clock(r, time.Now())
}

// directory finds the spool directory, or the nearest one above it that is there.
func (h *Host) directory(r *Report) (string, bool) {
	const check = "spool directory"
	info, err := os.Stat(h.SpoolPath)
	switch {
	case err == nil && !info.IsDir():
		r.fault(check, h.SpoolPath+" is not a directory", "set spool.path to a directory of spoold's own")
		return "", false
	case err == nil:
		if info.Mode().Perm()&0o077 != 0 {
			r.warn(check, fmt.Sprintf("%s may be entered by others (mode %04o)", h.SpoolPath, info.Mode().Perm()), "chmod 700 "+h.SpoolPath)
		}
		if unix.Access(h.SpoolPath, unix.W_OK|unix.X_OK) != nil {
			r.fault(check, h.SpoolPath+" cannot be written by this user", "run as the daemon's user, or chown the directory")
			return "", false
		}
		h.spool(r, h.SpoolPath)
		return h.SpoolPath, true
	case !errors.Is(err, fs.ErrNotExist):
		r.fault(check, err.Error(), "let this user reach it")
		return "", false
	}
	dir := h.SpoolPath
	for {
		dir = filepath.Dir(dir)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if unix.Access(dir, unix.W_OK|unix.X_OK) != nil {
		r.fault(check, fmt.Sprintf("%s does not exist, and this user may not create it in %s", h.SpoolPath, dir), "create it for the daemon's user")
		return "", false
	}
	h.spool(r, h.SpoolPath+" does not exist yet and can be created")
	return dir, true
}

// spool says whether a daemon starts on what is there.
func (h *Host) spool(r *Report, seen string) {
	const check = "spool directory"
	switch {
	case h.Refused != nil:
		r.fault(check, "serve does not start: "+h.Refused.Error(), h.Remedy)
	case h.Suspect != "":
		r.warn(check, h.Suspect, h.Remedy)
	default:
		r.ok(check, seen)
	}
	if h.Silent != "" {
		r.fault("daemon", h.Silent, "see its log, and errors of the disk (dmesg); ending it by kill -9 loses nothing that was answered")
	}
	if h.SpoolFull != "" {
		r.fault("spool", "it takes no record: "+h.SpoolFull, "see docs/operating.md on a full spool")
	}
}

// fileSystems that lose everything with the power, or whose syncs nobody vouches for.
var fileSystems = map[int64]struct{ name, what, do string }{
	unix.TMPFS_MAGIC: {"tmpfs", "memory, which is lost with the power", "put the spool on a disk"},
	unix.RAMFS_MAGIC: {"ramfs", "memory, which is lost with the power", "put the spool on a disk"},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlayfs", "usually a container's own layer, which is lost with the container",
		"mount a volume at spool.path"},
	unix.NFS_SUPER_MAGIC: {"NFS", "a network file system: spoold needs locks, mmap and syncs that are the disk's own",
		"put the spool on a local disk"},
	unix.SMB2_SUPER_MAGIC: {"SMB", "a network file system: spoold needs locks, mmap and syncs that are the disk's own",
		"put the spool on a local disk"},
	unix.FUSE_SUPER_MAGIC: {"FUSE", "a file system in a process: whether a sync reaches a disk is up to that process", "prefer a local disk"},
}

func fileSystem(r *Report, dir string) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		r.warn("file system", err.Error(), "check the disk")
		return
	}
	if bad, ok := fileSystems[st.Type]; ok {
		r.warn("file system", fmt.Sprintf("%s is on %s: %s", dir, bad.name, bad.what), bad.do)
		return
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		r.fault("file system", dir+" is mounted read-only", "mount it for writing; a disk that failed is often remounted so")
		return
	}
	r.ok("file system", fmt.Sprintf("type %#x, local", st.Type))
}

func (h *Host) space(r *Report, dir string) {
	const check = "disk space"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		r.warn(check, err.Error(), "check the disk")
		return
	}
	free := int64(st.Bavail) * st.Bsize
	room := free - h.MinFreeBytes
	size := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	switch {
	case room < leastRoom:
		r.fault(check, fmt.Sprintf("%s free, and spool.min.free.bytes leaves %s alone: no record will be taken, or very few", size(free), size(h.MinFreeBytes)),
			"free space, or lower spool.min.free.bytes")
	case room < h.MaxBytes:
		r.warn(check, fmt.Sprintf("%s free, %s of it for the spool, whose limit is %s: the disk is full first", size(free), size(room), size(h.MaxBytes)),
			"lower spool.max.bytes, or free space")
	default:
		r.ok(check, fmt.Sprintf("%s free, spool.max.bytes is %s", size(free), size(h.MaxBytes)))
	}
	if st.Files > 0 && st.Ffree < 64 {
		r.fault("inodes", fmt.Sprintf("%d inodes are left", st.Ffree), "remove files: a spool needs an inode for each segment")
	}
}

// syncs writes a block and syncs it, some times over, in a file that it removes.
func syncs(ctx context.Context, r *Report, dir string) {
	const check = "sync"
	f, err := os.CreateTemp(dir, ".spoold-doctor-*")
	if err != nil {
		r.fault(check, err.Error(), "check the disk and the rights of "+dir)
		return
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	block := make([]byte, 4096)
	var took []time.Duration
	for i := range syncTries {
		if ctx.Err() != nil {
			break
		}
		from := time.Now()
		_, err := f.WriteAt(block, int64(i%4)*4096)
		if err == nil {
			err = unix.Fdatasync(int(f.Fd()))
		}
		if err != nil {
			r.fault(check, "writing and syncing 4 KiB: "+err.Error(), unwritten(err))
			return
		}
		took = append(took, time.Since(from))
	}
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	median, worst := took[len(took)/2], took[len(took)-1]
	seen := fmt.Sprintf("4 KiB written and synced in %s (median of %d, slowest %s)", round(median), len(took), round(worst))
	switch {
	case median < fastSync:
		r.warn(check, seen+": faster than any disk that waits for its flush",
			"find out whether a sync reaches the disk: a cache that loses it with the power breaks the promise")
	case median > slowSync:
		r.warn(check, seen, "a caller waits at least so long for each answer: use a faster disk, or batches")
	default:
		r.ok(check, seen)
	}
}

// unwritten says what to do where the disk takes nothing.
func unwritten(err error) string {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return "free space, or raise this user's quota"
	}
	return "replace the disk, or find out why it refuses"
}

func round(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

func (h *Host) descriptors(r *Report) {
	const check = "descriptors"
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		r.warn(check, err.Error(), "")
		return
	}
	want := uint64(h.Connections + SpareFiles)
	if limit.Max < want {
		r.fault(check, fmt.Sprintf("at most %d files may be open; http.max.connections=%d and the spool need %d", limit.Max, h.Connections, want),
			"raise the limit (ulimit -n, LimitNOFILE= in the unit) or lower http.max.connections")
		return
	}
	r.ok(check, fmt.Sprintf("%d files may be open", limit.Max))
}

// clock looks for a clock that cannot be right. Records carry its time, and brokers
// refuse a time too far from their own.
func (h *Host) clock(r *Report, now time.Time) {
	const check = "clock"
	if now.Before(h.ProgramBuiltAt) {
		r.fault(check, fmt.Sprintf("it is %s here, before this program was built", now.UTC().Format(time.DateTime)),
			"set the clock: brokers may refuse records with a wrong time")
		return
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		r.ok(check, now.UTC().Format(time.DateTime)+" UTC")
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		r.warn(check, now.UTC().Format(time.DateTime)+" UTC, and the kernel says that nothing keeps it in step",
			"run chrony or systemd-timesyncd: a clock that runs ahead has its records refused")
	default:
		r.ok(check, now.UTC().Format(time.DateTime)+" UTC, kept in step")
	}
}
