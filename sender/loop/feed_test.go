package loop

import (
	"testing"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

func TestReaderHasOnlyTwoBuffersOut(t *testing.T) {
	type handed struct {
		f   sender.Fed
		buf []byte
	}
	got := make(chan handed, 10)
	reads := make(chan spool.Index, 10)
	f := &feeder{
		read: func(_ spool.LaneID, from spool.Index, _ int, buf []byte) ([]spool.Section, spool.Index, []byte, error) {
			reads <- from
			return nil, from, append(buf[:0], byte(from)), nil
		},
		fed: func(f sender.Fed, buf []byte, _ error) { got <- handed{f, buf} },
	}
	f.start()
	defer f.close()
	f.ask([]sender.Feed{{ID: 1, From: 1}, {ID: 2, From: 2}, {ID: 3, From: 3}})
	one, two := <-got, <-got
	if len(reads) != 2 {
		t.Errorf("%d reads with two buffers out, want 2", len(reads))
	}
	if one.buf[0] != 1 || two.buf[0] != 2 {
		t.Errorf("buffers hold %v and %v", one.buf, two.buf)
	}
	f.give(one.buf)
	if three := <-got; three.f.ID != 3 || &three.buf[0] != &one.buf[0] {
		t.Errorf("third feed is %d, in another buffer than the one that was free", three.f.ID)
	}
}
