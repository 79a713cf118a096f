package bolt

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// countingWall counts its readings, each a second after the one before.
func countingWall(n *atomic.Int64) func() time.Time {
	return func() time.Time { return time.UnixMilli(1000 * n.Add(1)) }
}

func TestManyRecordsOfAGroupShareAReadingOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStamps(nil)
		var read atomic.Int64
		st.wall = countingWall(&read)
		for n := range stampsEach {
			if ms := st.now(n); ms != int64(1000*(n+1)) {
				t.Fatalf("record %d has %d, want a reading of its own", n, ms)
			}
		}
		shared := st.now(stampsEach)
		time.Sleep(stampFor - 1)
		for n := range 1000 {
			if ms := st.now(n); ms != shared {
				t.Fatalf("record %d has %d, want %d: the reading counts for all topics and groups", n, ms, shared)
			}
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if ms := st.now(0); ms <= shared {
			t.Errorf("%d, want one after %d", ms, shared)
		}
	})
}

func TestAGivenClockIsReadForEachRecord(t *testing.T) {
	var read atomic.Int64
	st := newStamps(countingWall(&read))
	for n := range int64(100) {
		if ms := st.now(int(n)); ms != 1000*(n+1) {
			t.Fatalf("record %d has %d", n, ms)
		}
	}
}
