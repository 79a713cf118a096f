package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// S-17, S-47: the disk is full, or too full. Records are refused, settlements are not, and room
// that comes back is used.
func TestFullDiskRefusesRecordsAndGoesOnSettling(t *testing.T) {
	for _, how := range []string{"free space", "no blocks", "limit"} {
		t.Run(how, func(t *testing.T) {
			o := tinyOptions(t.TempDir())
			var full atomic.Bool
			o.Faults = &Faults{}
			value := strings.Repeat("x", 1000)
			switch how {
			case "free space":
				o.MinFreeBytes = 1000
				o.Faults.Free = func(string) (uint64, error) {
					if full.Load() {
						return 999, nil
					}
					return 64 << 20, nil
				}
			case "no blocks":
				o.Faults.Fallocate = func(*os.File, int64, int64) error {
					if full.Load() {
						return unix.ENOSPC
					}
					return nil
				}
			case "limit":
				o.MaxBytes = 1 << 20
			}
			l, _ := openLoop(t, o)
			defer l.close()
			full.Store(true)
			n := 0
			var last Ticket
			for {
				tk, err := l.s.Append(short(t), "a", 1, -1, nil, []byte(value), nil)
				if errors.Is(err, ErrFull) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if n++; n > 2000 {
					t.Fatal("2 MB were taken")
				}
				last = tk
				if err := tk.Spooled(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if s := l.s.Stats(); s.Full == "" {
				t.Error("the status does not say that the spool is full")
			}
			if n > 0 {
				_ = last
				// Delivery goes on, one record a commit.
				for i := range min(n, 50) {
					l.settle("a", spool.Span{First: spool.Index(i), End: spool.Index(i + 1)})
				}
				l.settle("a", spool.Span{First: 0, End: spool.Index(n)})
			}
			full.Store(false)
			tk, err := l.s.Append(context.Background(), "a", 1, -1, nil, []byte(value), nil)
			if err != nil {
				t.Fatalf("after room came back: %v", err)
			}
			if err := tk.Spooled(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A limit that is raised lets records in without a new start, and one that is lowered keeps them out.
func TestLimitsChangeWhileRecordsAreTaken(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MaxBytes = 1 << 20
	l, _ := openLoop(t, o)
	defer l.close()
	fill := func(bytes int) error {
		for range bytes >> 13 {
			tk, err := l.s.Append(short(t), "a", 1, -1, nil, []byte(strings.Repeat("x", 8<<10)), nil)
			if err != nil {
				return err
			}
			if err := tk.Spooled(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	}
	if err := fill(2 << 20); !errors.Is(err, ErrFull) {
		t.Fatalf("2 MiB into 1 MiB: %v", err)
	}
	l.s.SetLimits(64<<20, -1)
	if !poll.Until(func() bool { return l.s.Stats().Limit == 64<<20 }) { // nothing is committed meanwhile
		t.Fatalf("the limit is %d", l.s.Stats().Limit)
	}
	tk, err := l.s.Append(context.Background(), "a", 1, -1, nil, []byte("x"), nil)
	if err == nil {
		err = tk.Spooled(context.Background())
	}
	if err != nil {
		t.Fatalf("after the limit was raised: %v", err)
	}
	if err := fill(2 << 20); err != nil {
		t.Fatalf("2 MiB into 64 MiB: %v", err)
	}
	l.s.SetLimits(1<<20, -1)
	if err := fill(1 << 20); !errors.Is(err, ErrFull) {
		t.Fatalf("after the limit was lowered: %v", err)
	}
}

// S-52: a commit meets a full disk all the same. Nobody is told anything but "unknown", the next
// start tells, and a repeat with the same key is stored once.
func TestCommitThatMeetsAFullDiskIsUnknownAndRepeatedOnce(t *testing.T) {
	for _, stored := range []bool{false, true} {
		o := tinyOptions(t.TempDir())
		var fail atomic.Bool
		o.Faults = &Faults{Commit: func(commit func() error) error {
			if !fail.Load() {
				return commit()
			}
			if stored {
				_ = commit()
			}
			return &fs.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}
		}}
		l, _ := openLoop(t, o)
		tk := mustAppend(t, l.s, "a", "0")
		if err := tk.Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
		fail.Store(true)
		b := keyed("k", "a", "v")
		tks, err := l.s.AppendBatch(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		var space *SpaceError
		if err := tks.Spooled(context.Background()); !errors.As(err, &space) || !errors.Is(err, ErrPoisoned) {
			t.Errorf("Spooled: %v", err)
		}
		if _, err := l.s.Append(context.Background(), "a", 1, -1, nil, nil, nil); !errors.Is(err, ErrPoisoned) {
			t.Errorf("Append afterwards: %v", err)
		}
		<-l.ended
		if !errors.As(l.err, &space) {
			t.Errorf("the loop was told: %v", l.err)
		}
		_ = l.s.Close(context.Background())
		fail.Store(false)
		l, r := openLoop(t, o)
		tks, err = l.s.AppendBatch(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		if err := tks.Spooled(context.Background()); err != nil {
			t.Error(err)
		}
		if tks.Duplicate() != stored || r.Incarnation != 2 {
			t.Errorf("stored %v: duplicate %v, incarnation %d", stored, tks.Duplicate(), r.Incarnation)
		}
		if got := len(readAll(t, l.s, 0)); got != 4 {
			t.Errorf("%d records, want 4", got)
		}
		l.close()
	}
}

func TestFailedCommitPoisonsItsGroupAndTheOpenOne(t *testing.T) {
	o := tinyOptions(t.TempDir())
	var fail atomic.Bool
	reached, goOn := make(chan struct{}), make(chan struct{})
	o.Faults = &Faults{Commit: func(commit func() error) error {
		if !fail.Load() {
			return commit()
		}
		close(reached)
		<-goOn
		return unix.EIO
	}}
	l, _ := openLoop(t, o)
	fail.Store(true)
	in := mustAppend(t, l.s, "a", "1")
	<-reached
	behind := mustAppend(t, l.s, "a", "2")
	close(goOn)
	for what, tk := range map[string]Ticket{"of the group": in, "of the open group": behind} {
		if err := tk.Spooled(context.Background()); !errors.Is(err, ErrPoisoned) || !errors.Is(err, unix.EIO) {
			t.Errorf("ticket %s: %v", what, err)
		}
		if _, err := tk.Acked(context.Background()); !errors.Is(err, ErrPoisoned) {
			t.Errorf("Acked %s: %v", what, err)
		}
	}
	<-l.ended
	if err := l.s.Close(context.Background()); !errors.Is(err, ErrPoisoned) {
		t.Errorf("Close: %v", err)
	}
}

// The reserve is for this: no block can be had any more, and hundreds of
// settlements and seals are committed all the same, without the file growing.
func TestReserveCarriesSettlementsOnAFullDisk(t *testing.T) {
	o := tinyOptions(t.TempDir())
	var full atomic.Bool
	o.Faults = &Faults{Fallocate: func(f *os.File, off, n int64) error {
		if full.Load() {
			return unix.ENOSPC
		}
		return unix.Fallocate(int(f.Fd()), 0, off, n)
	}}
	l, _ := openLoop(t, o)
	defer l.close()
	var last Ticket
	for range 300 {
		last = mustAppend(t, l.s, "a", strings.Repeat("z", 500))
	}
	if err := last.Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.quiet()
	full.Store(true)
	for i := range spool.Index(300) {
		if i%2 == 0 {
			l.settle("a", spool.Span{First: i, End: i + 1})
		} else {
			l.write(&spool.Write{Seals: []spool.Seal{{SealKey: spool.SealKey{Partition: int32(i)}, Count: 1, Spans: []spool.Span{{First: i, End: i + 1}}}}})
		}
	}
	l.quiet()
	path, _ := activeFile(t, o.Path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if a := l.s.active; a.hwm > a.allocated || info.Size() > a.allocated {
		t.Errorf("the file uses %d bytes and has %d, only %d are its own", a.hwm, info.Size(), a.allocated)
	}
}

// What a segment owned ahead, for groups to come, is given back when it is left: a backlog of many small segments took
// many times what the limit allows. Found by the soak.
func TestASegmentThatIsLeftOwnsOnlyWhatItUses(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MaxBatch = 8 << 20 // of which two are owned ahead
	l, _ := openLoop(t, o)
	defer l.close()
	value := []byte(strings.Repeat("x", 4000))
	for l.s.Stats().Segments < 6 {
		tk, err := l.s.Append(context.Background(), "a", 1, -1, nil, value, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tk.Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	st := l.s.Stats()
	owned := int64(0)
	files, err := os.ReadDir(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var x unix.Stat_t
		if err := unix.Lstat(filepath.Join(o.Path, f.Name()), &x); err != nil {
			t.Fatal(err)
		}
		owned += x.Blocks * 512
	}
	// The active one, with what it owns ahead; the others with the pages that they use and some that were free.
	if most := l.s.space.ahead() + 2*o.SegmentBytes*int64(st.Segments) + 2<<20; owned > most {
		t.Errorf("%d segments own %d bytes, want at most %d", st.Segments, owned, most)
	}
	if off := owned - st.DiskBytes; off > 2<<20 || off < -2<<20 {
		t.Errorf("the files own %d bytes, the statistics say %d", owned, st.DiskBytes)
	}
}

// A start on a disk that is almost full shows at once what the spool may own, not what spool.max.bytes would be.
func TestAStartShowsWhatTheDiskLeaves(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.MaxBytes, o.MinFreeBytes = 1<<30, 1000
	o.Faults = &Faults{Free: func(string) (uint64, error) { return 4 << 20, nil }}
	for range 2 {
		l, _ := openLoop(t, o)
		if limit := l.s.Stats().Limit; limit > 8<<20 {
			t.Errorf("the limit is %d with 4 MiB free", limit)
		}
		l.close()
	}
}

// What the state takes is counted through rotations: the size of a segment, the room for the next one, and the limit for topics and
// notes go by it. It was counted from nothing in each new segment.
func TestTheSizeOfTheStateIsCountedThroughRotations(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	for i := range 200 {
		b := &BatchInput{Notes: []Note{{Name: fmt.Sprint("note ", i), Value: []byte(strings.Repeat("n", 50))}}}
		if _, err := l.s.AppendBatch(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, l.s, "a", "v")
	l.quiet()
	before, number := l.s.active.stateBytes, l.s.active.number
	for range 3 {
		l.s.rewriter.rotate()
		mustAppend(t, l.s, "a", "v")
		l.quiet()
	}
	after, now := l.s.active.stateBytes, l.s.active.number
	l.close()
	if now < number+3 {
		t.Fatalf("segment %d after three rotations of segment %d", now, number)
	}
	l, _ = openLoop(t, o)
	defer l.close()
	if l.quiet(); before < 10_000 || after < before || after != l.s.active.stateBytes {
		t.Errorf("the state takes %d bytes, %d after rotations, and %d after a start", before, after, l.s.active.stateBytes)
	}
}

// Audit entries leave the state room for topics and notes, whatever it may take.
func TestAuditLeavesRoomInASmallState(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.StateBytes = 32 << 10
	l, _ := openLoop(t, o)
	defer l.close()
	w := &spool.Write{}
	for i := range 900 {
		w.Audit = append(w.Audit, spool.AuditEntry{At: int64(i), What: strings.Repeat("what was done ", 7)})
	}
	l.write(w)
	l.quiet()
	if got := l.s.active.stateBytes; got < 4<<10 || got > 16<<10 {
		t.Errorf("the state takes %d bytes after 900 audit entries, of %d that it may", got, o.StateBytes)
	}
	mustAppend(t, l.s, "new", "v")
}
