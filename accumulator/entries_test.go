package accumulator

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/spool"
)

func TestEntriesCountWhatHasNotLeft(t *testing.T) {
	e := newEntries(10)
	e.settle(spool.Span{First: 0, End: 2})
	e.settle(spool.Span{First: 4, End: 5})
	if !e.Pending() || e.CountPending() != 7 || e.Settled() != 2 {
		t.Errorf("pending %v, %d of them, settled below %d; want true, 7, 2", e.Pending(), e.CountPending(), e.Settled())
	}
	got := e.AppendUnsettled(nil, spool.Span{First: 1, End: 7})
	if want := []spool.Span{{First: 2, End: 4}, {First: 5, End: 7}}; !slices.Equal(got, want) {
		t.Errorf("not settled of 1 to 7: %v, want %v", got, want)
	}
	e.settle(spool.Span{First: 2, End: 10})
	if e.Pending() || e.CountPending() != 0 {
		t.Errorf("pending %v, %d of them, after all have left", e.Pending(), e.CountPending())
	}
}

func TestTheCursorPassesWhatIsClaimedAndStopsAtTheEnd(t *testing.T) {
	e := newEntries(10)
	e.claim(spool.Span{First: 0, End: 3})
	if got := e.Position(); got != 3 || e.Live() {
		t.Errorf("position %d, live %v; want 3, false", got, e.Live())
	}
	e.Skip(5)
	e.Skip(4) // never back
	if got := e.Position(); got != 5 {
		t.Errorf("position %d after 5 was skipped to, want 5", got)
	}
	e.Skip(20)
	if got := e.Position(); got != 10 || !e.Live() {
		t.Errorf("position %d, live %v; want the end, true", got, e.Live())
	}
}

func TestWhatIsReleasedIsHandedOutAgainUnlessItHasLeft(t *testing.T) {
	e := newEntries(10)
	e.claim(spool.Span{First: 0, End: 4})
	e.release(spool.Span{First: 1, End: 2})
	if e.isClaimed(1) || !e.isClaimed(2) || e.isClaimed(9) {
		t.Errorf("claimed: 1 %v, 2 %v, 9 %v; want only 2 of them", e.isClaimed(1), e.isClaimed(2), e.isClaimed(9))
	}
	e.settle(spool.Span{First: 1, End: 2})
	if !e.isClaimed(1) || !e.Left(1) || e.Left(2) {
		t.Error("what has left is claimed and has left, and nothing else has left")
	}
}
