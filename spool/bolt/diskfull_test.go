//go:build crash

package bolt

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// S-17 and S-47 on a file system that is really full. Needs root.
func TestRealFullFileSystemRefusesRecordsSettlesAndRecovers(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Fatalf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	o := tinyOptions(dir + "/spool")
	for round := range 3 {
		l, _ := openLoop(t, o)
		for {
			tk, err := l.s.Append(short(t), "a", 1, -1, nil, []byte(strings.Repeat("x", 2000)), nil)
			if errors.Is(err, ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := tk.Spooled(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		l.quiet()
		l.s.view.RLock()
		end, low := l.s.state.End(0), l.s.state.Settled(0).Low()
		l.s.view.RUnlock()
		if end-low < 500 {
			t.Fatalf("round %d: only %d records fit into 6 MiB", round, end-low)
		}
		if round == 1 { // a restart on the full disk
			l.close()
			l, _ = openLoop(t, o)
		}
		for at := low; at < end; at += 7 {
			l.settle("a", spool.Span{First: at, End: min(at+7, end)})
		}
		l.quiet()
		if err := mustAppend(t, l.s, "a", "again").Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
		l.close()
	}
}
