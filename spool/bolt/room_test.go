package bolt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/spool"
)

// A request that needs a group of its own finds no room although smaller ones do. Its error and the numbers name the limit, not the
// disk's speed, and go on saying so until there would be room.
func TestALargeBatchWithoutRoomIsToldTheLimit(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MaxBytes, o.MinFreeBytes = 2<<20, -1
	l, _ := openLoop(t, o)
	defer l.close()
	large := make([]byte, l.s.space.largest-1024)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err = l.s.Append(ctx, "a", 1, -1, nil, large, nil)
		cancel()
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "spool.max.bytes") {
		t.Fatalf("record %d: %v", n, err)
	}
	if full := l.s.Stats().Full; !strings.Contains(full, "spool.max.bytes") {
		t.Errorf("full is %q", full)
	}
	l.settle("a", spool.Span{First: 0, End: spool.Index(n - 1)})
	if !poll.Until(func() bool { return l.s.Stats().Full == "" }) {
		t.Fatalf("with nothing pending, full is still %q", l.s.Stats().Full)
	}
}

// What is written to a file that was removed is gone with the process: nothing is answered after that, and an orderly end says so.
func TestASpoolThatIsRemovedWhileInUseStops(t *testing.T) {
	for _, send := range []bool{true, false} {
		o := tinyOptions(t.TempDir())
		l, _ := openLoop(t, o)
		if err := os.Remove(segmentPath(o.Path, l.s.active.number)); err != nil {
			t.Fatal(err)
		}
		var err error
		if send {
			var ticket Ticket
			if ticket, err = l.s.Append(context.Background(), "a", 1, -1, nil, []byte("x"), nil); err == nil {
				err = ticket.Spooled(context.Background())
			}
		} else {
			err = l.s.Close(context.Background())
		}
		var path *fs.PathError
		if !errors.Is(err, ErrPoisoned) || !errors.As(err, &path) || !strings.Contains(err.Error(), "removed") {
			t.Errorf("send %v: %v", send, err)
		}
		_ = l.s.Close(context.Background())
	}
}
