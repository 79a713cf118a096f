package bolt

import (
	"errors"
	"strings"
	"testing"
	"time"

	bbolterrors "go.etcd.io/bbolt/errors"
)

// A reader of an older segment holds that segment when it asks for the state. Who closes the spool,
// in an orderly way or after a disk failure, must not hold the state and ask for the segment.
func TestTheSpoolClosesWhileAnOlderSegmentIsRead(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	s := l.s
	for range 40 {
		if err := mustAppend(t, s, "topic", strings.Repeat("x", 12<<10)).Spooled(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.view.RLock()
	if len(s.sealed) == 0 {
		t.Fatal("there is no older segment")
	}
	x, db := s.sealed[0], s.active.db
	s.view.RUnlock()

	x.mu.Lock() // as a reader does
	closed := make(chan error, 1)
	go func() { closed <- s.Close(t.Context()) }()
	deadline := time.Now().Add(10 * time.Second)
	for closing := false; !closing; { // until whoever closes has closed the active segment, and comes to the older ones
		tx, err := db.Begin(false)
		if err == nil {
			err = tx.Rollback()
		}
		closing = errors.Is(err, bbolterrors.ErrDatabaseNotOpen)
		if time.Now().After(deadline) {
			t.Fatalf("the active segment is not closed: %v", err)
		}
	}
	seen := make(chan struct{})
	go func() {
		s.view.RLock()
		s.view.RUnlock() //nolint:staticcheck // that it can be had is all
		x.mu.Unlock()
		close(seen)
	}()
	late := time.After(10 * time.Second)
	select {
	case <-seen:
	case <-late:
		t.Fatal("the reader waits for ever")
	}
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-late:
		t.Fatal("Close waits for ever")
	}
}
