package bolt

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/spoold/spoold/integration/poll"
)

// A disk that hangs in a sync is seen while it does, without waiting for it, and no longer when it has answered.
func TestCommitThatHangsIsSeen(t *testing.T) {
	o := tinyOptions(t.TempDir())
	hang, entered := make(chan struct{}), make(chan struct{})
	var on atomic.Bool
	o.Faults = &Faults{Commit: func(commit func() error) error {
		if on.CompareAndSwap(true, false) {
			close(entered)
			<-hang
		}
		return commit()
	}}
	l, _ := openLoop(t, o)
	defer l.close()
	if err := mustAppend(t, l.s, "a", "0").Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	idle := func() {
		t.Helper()
		if !poll.Until(func() bool { return l.s.Stats().Committing == 0 }) {
			t.Fatalf("with nothing to do it has committed for %v", l.s.Stats().Committing)
		}
	}
	idle()
	on.Store(true)
	tk := mustAppend(t, l.s, "a", "1")
	<-entered
	first := l.s.Stats().Committing
	if !poll.Until(func() bool { return l.s.Stats().Committing > first }) {
		t.Errorf("it has committed for %v, and that does not grow", first)
	}
	close(hang)
	if err := tk.Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	idle()
}
