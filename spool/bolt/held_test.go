package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// ownedOnDisk is what the files of a spool have on the disk, the next segment's too.
func ownedOnDisk(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, segmentPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var st unix.Stat_t
		if err := unix.Lstat(f, &st); errors.Is(err, os.ErrNotExist) {
			continue // unlinked meanwhile
		} else if err != nil {
			t.Fatal(err)
		}
		bytes += st.Blocks * 512
	}
	return bytes
}

// within waits until the files own at most twice held bytes, four segments and the state.
func (l *testLoop) within(held int64) {
	l.t.Helper()
	most := 2*held + 4*l.s.opt.SegmentBytes + 2*minState
	deadline := time.Now().Add(10 * time.Second)
	for ownedOnDisk(l.t, l.s.dir) > most {
		if time.Now().After(deadline) {
			st := l.s.Stats()
			l.t.Fatalf("the files own %d bytes, want at most %d; %+v", ownedOnDisk(l.t, l.s.dir), most, st)
		}
		l.s.mu.Lock()
		changed := make(chan struct{})
		time.AfterFunc(5*time.Millisecond, func() { close(changed) })
		l.s.mu.Unlock()
		<-changed
	}
}

// Eight in nine bytes of each segment leave at once, and a few small records stay, of a topic that is missing. The
// spool was full for ever with 10 KB pending.
func TestSpaceFollowsWhatIsPendingBesideAStuckTopic(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MaxBytes, o.RewriteAfter = 4<<20, 20*time.Millisecond
	l, _ := openLoop(t, o)
	defer l.close()
	big, held := []byte(strings.Repeat("x", 900)), int64(0)
	at := spool.Index(0)
	for range 800 {
		b := &BatchInput{}
		for range 10 {
			b.Records = append(b.Records, RecordInput{Topic: "big", Timestamp: 1, Partition: -1, Value: big})
		}
		b.Records = append(b.Records, RecordInput{Topic: "stuck", Timestamp: 1, Partition: -1, Value: big[:20]})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		tk, err := l.s.AppendBatch(ctx, b)
		cancel()
		if err != nil {
			t.Fatalf("%v: %+v", err, l.s.Stats())
		}
		if err := tk.Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
		held += 40
		l.wait(func() bool { return len(l.entries[0]) >= int(at)+10 })
		if at >= 300 { // a little later than they came
			l.s.Submit(&spool.Write{Settle: []spool.Settlement{{Spans: []spool.Span{{First: at - 300, End: at - 290}}, Outcome: spool.OutcomeAcked}}}, false)
		}
		at += 10
	}
	l.settle("big", spool.Span{First: 0, End: at})
	l.within(held)
	if got := readAll(t, l.s, 1); len(got) != 800 {
		t.Errorf("%d records of the stuck topic are left, want 800", len(got))
	}
}
