package bolt

import (
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spoold/spoold/spool"
)

// A reader learns which segment holds a record, and then waits for that segment. If the record leaves meanwhile,
// nothing is missing.
func TestARecordThatLeavesWhileItsSegmentIsWaitedForIsNotMissing(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	s := l.s
	for range 40 {
		for _, topic := range []string{"leaves", "stays"} { // the segment is not dropped
			if err := mustAppend(t, s, topic, strings.Repeat("x", 6<<10)).Spooled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.view.RLock()
	if len(s.sealed) == 0 {
		t.Fatal("there is no older segment")
	}
	x := s.sealed[0]
	s.view.RUnlock()
	id := l.laneOf("leaves")
	extents := x.lane(id)
	r := reading{s: s, lane: id, at: extents[0].First, max: 1} // it has looked
	for _, e := range extents {
		l.settle("leaves", e.Span)
	}
	if err := r.sealed(x); !errors.Is(err, errMoved) {
		t.Errorf("the reader finds: %v", err)
	}
	sections, _, _, err := s.Read(r.lane, extents[0].First, 1, nil)
	if err != nil || len(sections) != 1 || sections[0].Spans[0].First < extents[len(extents)-1].End {
		t.Errorf("it goes on with %+v, %v", sections, err)
	}
	l.close()
}

// Whoever reads a spool that is closed under him is told why, and not that records move about.
func TestAReaderOfASpoolThatIsClosedIsToldWhy(t *testing.T) {
	for _, failing := range []bool{false, true} {
		o := tinyOptions(t.TempDir())
		var fail atomic.Bool
		o.Faults = &Faults{Commit: func(commit func() error) error {
			if fail.Load() {
				return &fs.PathError{Op: "sync", Path: "x", Err: unix.EIO}
			}
			return commit()
		}}
		l, _ := openLoop(t, o)
		want := ErrClosed
		if err := mustAppend(t, l.s, "topic", "x").Spooled(t.Context()); err != nil {
			t.Fatal(err)
		}
		if failing {
			want = ErrPoisoned
			fail.Store(true)
			if err := mustAppend(t, l.s, "topic", "y").Spooled(t.Context()); !errors.Is(err, want) {
				t.Fatal(err)
			}
			<-l.ended
		} else {
			l.close()
		}
		if _, _, _, err := l.s.Read(spool.LaneID(0), 0, 1, nil); !errors.Is(err, want) {
			t.Errorf("a commit failed: %v; Read says: %v, want %v", failing, err, want)
		}
	}
}
