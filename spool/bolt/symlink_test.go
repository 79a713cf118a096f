package bolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever may write into the directory, or has restored it from an archive with links in it, must not have us write
// elsewhere: a spool with a link among its files is not opened, and what the link names stays as it is.
func TestASymbolicLinkAmongTheFilesIsNotFollowed(t *testing.T) {
	for _, name := range []string{lockName, "spoold-00000001.db"} {
		dir, elsewhere := t.TempDir(), t.TempDir()
		l, _ := openLoop(t, tinyOptions(dir))
		l.close()
		target := filepath.Join(elsewhere, name)
		if err := errors.Join(os.Rename(filepath.Join(dir, name), target), os.Symlink(target, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(tinyOptions(dir)); !errors.Is(err, unix.ELOOP) {
			t.Errorf("Open with a link at %s: %v", name, err)
		}
		if _, _, err := Inspect(dir); !errors.Is(err, unix.ELOOP) {
			t.Errorf("Inspect with a link at %s: %v", name, err)
		}
		if after, err := os.ReadFile(target); err != nil || !bytes.Equal(after, before) {
			t.Errorf("what the link at %s names was changed: %v", name, err)
		}
	}
}

// A link that waits where the next segment will be is replaced.
func TestASymbolicLinkInTheNextSegmentsPlaceIsReplaced(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	path := segmentFile(dir, 7)
	if err := errors.Join(os.Symlink(target, path), os.Symlink(target, path+tempSuffix), createSegment(dir, 7, 1<<20, &Faults{})); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nameSegment(d, 7, &Faults{}), d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the links name: %v", err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the segment is %v, %v", info, err)
	}
}
