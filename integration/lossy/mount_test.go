//go:build crash

package lossy

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These tests are about the file system with the kernel in front of it.

// testDisk is a disk that is on.
func testDisk(t *testing.T, set Setting) *Disk {
	t.Helper()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, d.On(set))
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restart cuts the power and turns it on again.
func (d *Disk) restart(t *testing.T, seed uint64) {
	t.Helper()
	must(t, d.Cut())
	_, err := d.Off(seed)
	must(t, err)
	must(t, d.On(Setting{}))
}

func create(t *testing.T, d *Disk, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.Dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	return f
}

func (d *Disk) syncDir(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.Dir)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
}

// page is a page full of a letter.
func page(letter string) []byte { return []byte(strings.Repeat(letter, blockSize)) }

func write(t *testing.T, f *os.File, letter string) {
	t.Helper()
	_, err := f.WriteAt(page(letter), 0)
	must(t, err)
}

// first is the first letter that a read gives.
func first(t *testing.T, f *os.File) string {
	t.Helper()
	b := make([]byte, blockSize)
	_, err := f.ReadAt(b, 0)
	must(t, err)
	if string(b) != string(page(string(b[:1]))) {
		t.Fatalf("the page is a mixture of %q and others", b[0])
	}
	return string(b[:1])
}

func TestWhatIsSyncedIsThereAfterAPowerCutAndNothingElseForSure(t *testing.T) {
	d := testDisk(t, Setting{})
	f := create(t, d, "kept")
	write(t, f, "a")
	must(t, f.Sync())
	d.syncDir(t)
	var before, after unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &before))
	must(t, f.Close())
	outcomes := map[string]bool{}
	for seed := uint64(0); seed < 200 && len(outcomes) < 4; seed++ {
		f := create(t, d, "kept")
		write(t, f, "b")
		must(t, f.Close())
		must(t, create(t, d, "unsynced").Close())
		d.restart(t, seed)
		f = create(t, d, "kept")
		must(t, unix.Fstat(int(f.Fd()), &after))
		b := make([]byte, blockSize)
		_, err := f.ReadAt(b, 0)
		must(t, err)
		must(t, f.Close())
		_, err = os.Stat(filepath.Join(d.Dir, "unsynced"))
		if err == nil {
			must(t, os.Remove(filepath.Join(d.Dir, "unsynced")))
			outcomes["the name survived"] = true
		} else if errors.Is(err, fs.ErrNotExist) {
			outcomes["the name was lost"] = true
		}
		switch old := strings.Count(string(b), "a"); old {
		case 0:
			outcomes["the write survived"] = true
		default:
			outcomes["some of the write was lost"] = true
			if old%512 != 0 || old+strings.Count(string(b), "b") != len(b) {
				t.Fatalf("%d bytes of the old page", old)
			}
		}
		f = create(t, d, "kept")
		write(t, f, "a")
		must(t, f.Sync())
		d.syncDir(t) // of the unlink
		must(t, f.Close())
	}
	if before.Ino != after.Ino {
		t.Errorf("inode %d is %d after the cut", before.Ino, after.Ino)
	}
	if len(outcomes) < 4 {
		t.Errorf("only: %v", outcomes)
	}
}

// The finding that the daemon's start defends against, on the kernel's own page cache.
func TestWhatAFailedSyncLostIsReadUntilThePageCacheIsDropped(t *testing.T) {
	for _, keep := range []bool{false, true} {
		d := testDisk(t, Setting{KeepCache: keep})
		f := create(t, d, "f")
		write(t, f, "a")
		must(t, f.Sync())
		d.syncDir(t)
		write(t, f, "b")
		must(t, d.Fail(Fault{Call: Sync, Errno: syscall.EIO, N: 1}))
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("the sync: %v", err)
		}
		must(t, f.Sync()) // told once
		if n := <-d.Notices; n.Failed != "sync of f: input/output error" {
			t.Errorf("notice %+v", n)
		}
		mapped, err := unix.Mmap(int(f.Fd()), 0, blockSize, unix.PROT_READ, unix.MAP_SHARED)
		must(t, err)
		if got := first(t, f); got != "b" || mapped[0] != 'b' {
			t.Fatalf("after the failed sync a read gives %q, the mapping %q", got, mapped[0])
		}
		must(t, unix.Munmap(mapped))
		must(t, f.Close())
		f = create(t, d, "f") // opening it is not dropping the cache
		if got := first(t, f); got != "b" {
			t.Fatalf("after opening it again a read gives %q", got)
		}
		must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		if got, want := first(t, f), map[bool]string{false: "a", true: "b"}[keep]; got != want {
			t.Errorf("KeepCache %v: without the page cache a read gives %q, want %q", keep, got, want)
		}
		must(t, f.Close())
		d.restart(t, 1)
		f = create(t, d, "f")
		if got := first(t, f); got != "a" {
			t.Errorf("KeepCache %v: after the power cut a read gives %q", keep, got)
		}
		must(t, f.Close())
	}
}

func TestInTheDarkNoCallIsAnsweredUntilItFails(t *testing.T) {
	d := testDisk(t, Setting{})
	f, g := create(t, d, "f"), create(t, d, "g")
	must(t, d.Cut())
	if n := <-d.Notices; n.Dark == "" {
		t.Errorf("notice %+v", n)
	}
	calls := map[string]func() error{ // no two of which the kernel would let wait for each other
		"write":  func() error { _, err := f.WriteAt(page("a"), 0); return err },
		"sync":   g.Sync,
		"create": func() error { _, err := os.Create(filepath.Join(d.Dir, "h")); return err },
		"statfs": func() error { return unix.Statfs(d.Dir, new(unix.Statfs_t)) },
	}
	ended := make(chan string, len(calls))
	for name, call := range calls {
		go func() {
			if err := call(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: %v", name, err)
			}
			ended <- name
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		look, err := d.Look()
		must(t, err)
		if look.Waiting == len(calls) {
			break
		}
		if len(ended) > 0 || time.Now().After(deadline) {
			t.Fatalf("%d of %d calls wait, %d were answered in the dark", look.Waiting, len(calls), len(ended))
		}
	}
	must(t, d.Abandon())
	for range calls {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("a call never ended")
		}
	}
	must(t, errors.Join(f.Close(), g.Close()))
}

func TestThePowerIsCutAtTheCallThatWasNamed(t *testing.T) {
	for _, done := range []bool{false, true} {
		kept := 0
		const cuts = 30
		for seed := range uint64(cuts) {
			d := testDisk(t, Setting{})
			f := create(t, d, "f")
			must(t, f.Truncate(blockSize))
			must(t, f.Sync())
			d.syncDir(t)
			must(t, d.Arm(&Moment{Call: Sync, N: 2, Done: done}))
			must(t, f.Sync()) // the first
			write(t, f, "a")
			ended := make(chan error, 1)
			go func() { ended <- f.Sync() }()
			if n := <-d.Notices; !strings.HasPrefix(n.Dark, "with a call ") {
				t.Fatalf("notice %+v", n)
			}
			must(t, d.Abandon())
			if err := <-ended; !errors.Is(err, syscall.EIO) {
				t.Fatalf("the sync: %v", err)
			}
			must(t, f.Close())
			_, err := d.Off(seed)
			must(t, err)
			must(t, d.On(Setting{}))
			f = create(t, d, "f")
			b := make([]byte, blockSize)
			_, err = f.ReadAt(b, 0)
			must(t, err)
			if string(b) == string(page("a")) {
				kept++
			}
			must(t, f.Close())
		}
		if done && kept < cuts || !done && (kept == 0 || kept == cuts) {
			t.Errorf("Done %v: the write survived %d of %d cuts", done, kept, cuts)
		}
	}
}

func TestFilesCanBeMappedAllocatedLockedAndTruncated(t *testing.T) {
	d := testDisk(t, Setting{})
	f := create(t, d, "f")
	defer func() { must(t, f.Close()) }()
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, 1<<20))
	mapped, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer func() { must(t, unix.Munmap(mapped)) }()
	big := []byte(strings.Repeat("0123456789abcdef", 40_000))
	if mapped[8192] != 0 {
		t.Error("what was never written is not zero")
	}
	_, err = f.WriteAt(big, 8192)
	must(t, err)
	if string(mapped[8192:8192+len(big)]) != string(big) {
		t.Error("the mapping does not show what was written")
	}
	must(t, f.Truncate(10_000))
	must(t, f.Truncate(20_000))
	b := make([]byte, 20_000)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	if string(b[8192:10_000]) != string(big[:10_000-8192]) || strings.Trim(string(b[10_000:]), "\x00") != "" {
		t.Error("a file that was cut off and grew again is not zero at its end")
	}
	g := create(t, d, "f")
	defer func() { must(t, g.Close()) }()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if err := unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a second lock: %v", err)
	}
	var st unix.Statfs_t
	must(t, unix.Statfs(d.Dir, &st))
	if free := int64(st.Bavail) * st.Bsize; free < 1<<30 {
		t.Errorf("%d bytes free", free)
	}
}

func TestNamesAreRenamedUnlinkedAndListed(t *testing.T) {
	d := testDisk(t, Setting{})
	open := create(t, d, "a")
	write(t, open, "x")
	must(t, os.Rename(filepath.Join(d.Dir, "a"), filepath.Join(d.Dir, "b")))
	must(t, create(t, d, "c").Close())
	must(t, os.Rename(filepath.Join(d.Dir, "c"), filepath.Join(d.Dir, "b"))) // in its place
	if got := first(t, open); got != "x" {
		t.Errorf("a file that lost its name reads %q", got)
	}
	must(t, open.Close())
	must(t, create(t, d, "d").Close())
	must(t, os.Remove(filepath.Join(d.Dir, "d")))
	entries, err := os.ReadDir(d.Dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "b" {
		t.Errorf("%v", entries)
	}
	if _, err := os.Stat(filepath.Join(d.Dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a: %v", err)
	}
}

func TestASocketCanBeBoundAndSurvivesLikeAnyName(t *testing.T) {
	d := testDisk(t, Setting{})
	path := filepath.Join(d.Dir, "s.sock")
	ln, err := net.Listen("unix", path)
	must(t, err)
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, os.Chmod(path, 0o600))
	c, err := net.Dial("unix", path)
	must(t, err)
	must(t, errors.Join(c.Close(), ln.Close()))
	d.syncDir(t)
	d.restart(t, 1)
	st, err := os.Lstat(path)
	must(t, err)
	if st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := net.Dial("unix", path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling a socket that nobody listens on any more: %v", err)
	}
}

func TestWritesFailForAWhile(t *testing.T) {
	d := testDisk(t, Setting{})
	f := create(t, d, "f")
	defer func() { must(t, f.Close()) }()
	must(t, d.Fail(Fault{Call: Write, Errno: syscall.ENOSPC, N: 2, More: 1}, Fault{Call: Allocate, Errno: syscall.ENOSPC, N: 1, More: -1}))
	for i, want := range []error{nil, syscall.ENOSPC, syscall.ENOSPC, nil} {
		if _, err := f.WriteAt(page("a"), 0); !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", i+1, err, want)
		}
	}
	for range 3 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, 1<<20); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("allocation: %v", err)
		}
	}
	must(t, d.Fail())
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, 1<<20))
}
