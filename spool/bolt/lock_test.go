package bolt

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A process that is forked has the lock file open until it becomes another program. As long as that took, a spool that had been
// given back was in use.
func TestALockIsGivenBackThoughAForkedProcessHasItsFile(t *testing.T) {
	dir := t.TempDir()
	l, err := takeLock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	forked, err := unix.Dup(int(l.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(forked)
	if _, err := takeLock(dir, true); err == nil {
		t.Fatal("it was taken twice")
	}
	l.release()
	again, err := takeLock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	again.release()
}
