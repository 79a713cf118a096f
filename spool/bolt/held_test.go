package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/poll"
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
	spaceFollowsBesideAStuckTopic(t, nil)
}

// What is done in the background may be over before the committer waits: it is looked at all the same, also if no commit follows.
func TestSpaceFollowsWhereTheBackgroundIsQuick(t *testing.T) {
	spaceFollowsBesideAStuckTopic(t, &Faults{Go: func(work func()) { work() }})
}

func spaceFollowsBesideAStuckTopic(t *testing.T, faults *Faults) {
	o := tinyOptions(t.TempDir())
	o.Faults = faults
	o.MaxBytes, o.RewriteAfter = 4<<20, 20*time.Millisecond
	l, _ := openLoop(t, o)
	defer l.close()
	big, held := []byte(strings.Repeat("x", 900)), int64(0)
	at := spool.Index(0)
	for range 400 {
		b := &BatchInput{}
		for range 20 {
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
		l.wait(func() bool { return len(l.entries[0]) >= int(at)+20 })
		if at >= 300 { // a little later than they came
			l.s.Submit(&spool.Write{Settle: []spool.Settlement{{Spans: []spool.Span{{First: at - 300, End: at - 280}}, Outcome: spool.OutcomeAcked}}}, false)
		}
		at += 20
	}
	l.settle("big", spool.Span{First: 0, End: at})
	l.within(held)
	if got := readAll(t, l.s, 1); len(got) != 400 {
		t.Errorf("%d records of the stuck topic are left, want 400", len(got))
	}
}

// smallDisk is a file system of so many bytes for one spool.
func smallDisk(t testing.TB, dir string, total int64) *Faults {
	return &Faults{
		Total: func(string) (uint64, error) { return uint64(total), nil },
		Free:  func(string) (uint64, error) { return uint64(max(total-ownedOnDisk(t, dir), 0)), nil },
		Fallocate: func(f *os.File, off, n int64) error {
			if ownedOnDisk(t, dir)+n > total {
				return unix.ENOSPC
			}
			return unix.Fallocate(int(f.Fd()), 0, off, n)
		},
	}
}

// fill appends until the spool is full, and says how many records were taken.
func (l *testLoop) fill(topic string, value []byte) (n spool.Index) {
	l.t.Helper()
	for {
		b := &BatchInput{}
		for range 8 {
			b.Records = append(b.Records, RecordInput{Topic: topic, Timestamp: 1, Partition: -1, Value: value})
		}
		tk, err := l.s.AppendBatch(short(l.t), b)
		if errors.Is(err, ErrFull) {
			return n
		}
		if err == nil {
			err = tk.Spooled(context.Background())
		}
		if err != nil {
			l.t.Fatal(err)
		}
		n += 8
	}
}

// A disk that is smaller than the limit, filled, drained after a restart, several times: each time it takes as much.
func TestDrainedSpoolOnASmallDiskIsAsGoodAsNew(t *testing.T) {
	const total = 4 << 20
	o := tinyOptions(t.TempDir())
	o.RewriteAfter = time.Millisecond
	o.Faults = smallDisk(t, o.Path, total)
	value := []byte(strings.Repeat("x", 3000))
	var first, end spool.Index
	for round := range 3 {
		l, _ := openLoop(t, o)
		n := l.fill("a", value)
		if first == 0 {
			first = n
		}
		if n < first*9/10 || n*3000 < total/2 {
			t.Errorf("round %d: %d records of 3000 bytes are taken by a disk of %d, at first %d", round, n, total, first)
		}
		end += n
		l.close()
		l, _ = openLoop(t, o)
		l.settle("a", spool.Span{First: 0, End: end})
		l.within(0)
		l.close()
	}
}

func TestDiskThatIsTooSmallForASpoolIsRefusedAtTheStart(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MinFreeBytes = 1 << 30
	o.Faults = &Faults{Total: func(string) (uint64, error) { return 1 << 29, nil }}
	_, _, err := Open(o)
	if !errors.Is(err, ErrTooSmall) || !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "spool.min.free.bytes") {
		t.Fatalf("Open: %v", err)
	}
	o.Faults = nil
	o.MinFreeBytes = -1
	l, _ := openLoop(t, o)
	mustAppend(t, l.s, "a", "x")
	l.close()
	o.Faults = &Faults{Total: func(string) (uint64, error) { return 1 << 19, nil }}
	l, _ = openLoop(t, o) // what is pending is delivered
	l.settle("a", spool.Span{First: 0, End: 1})
	l.close()
	if _, _, err := Open(o); !errors.Is(err, ErrTooSmall) {
		t.Errorf("Open when drained: %v", err)
	}
}

// A process that has no descriptor left refuses records, goes on settling, and reads when there is one again: the outcome
// of a record was unknown, and the daemon ended.
func TestLackOfDescriptorsIsWaitedFor(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.RewriteAfter = time.Hour
	l, _ := openLoop(t, o)
	defer l.close()
	value := []byte(strings.Repeat("x", 3000))
	n := spool.Index(0)
	put := func() error {
		tk, err := l.s.Append(short(t), "a", 1, -1, nil, value, nil)
		if err == nil {
			n++
			err = tk.Spooled(context.Background())
		}
		return err
	}
	for l.s.Stats().Segments < 3 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		err = put()
	}
	if !errors.Is(err, ErrFull) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("without a descriptor: %v", err)
	}
	l.settle("a", spool.Span{First: 0, End: 1})
	read := make(chan int)
	go func() { read <- len(readAll(t, l.s, 0)) }()
	l.settle("a", spool.Span{First: 1, End: 2})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got < int(n)-2 {
		t.Errorf("%d records are read of %d", got, n-2)
	}
	if _, err := l.s.Append(context.Background(), "a", 1, -1, nil, value, nil); err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
}

// A segment of the usual size that has taken 24 MiB, of which nothing is needed any more, is left for a small one once the spool is quiet.
func TestADrainedSegmentIsLeftForASmallOne(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.SegmentBytes, o.MaxBytes, o.GroupBytes, o.RewriteAfter = defaultSegmentBytes, 2<<30, 1<<20, time.Millisecond
	l, _ := openLoop(t, o)
	value := strings.Repeat("x", 1<<20)
	for range 24 {
		if err := mustAppend(t, l.s, "a", value).Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	l.settle("a", spool.Span{First: 0, End: 24})
	if !poll.Until(func() bool { _, err := os.Stat(segmentPath(o.Path, 1)); return errors.Is(err, os.ErrNotExist) }) {
		t.Errorf("it is still there: %+v", l.s.Stats())
	}
	if n := ownedOnDisk(t, o.Path); n >= 48<<20 {
		t.Errorf("the files own %d bytes", n)
	}
	l.close()
}
