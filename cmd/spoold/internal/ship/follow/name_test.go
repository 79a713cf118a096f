package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

// named lets the records say which name and offset they got.
func (r *rig) named() {
	r.options.Record = func(l Line) spoold.Record {
		name, err := filepath.Rel(r.dir, l.File)
		r.do(err)
		return spoold.Record{Topic: "t", Value: fmt.Appendf(nil, "%s %d %s", name, l.Offset, l.Value)}
	}
}

// A key or a header made of the file's name must not change when the file is rotated: the lines of one log would get into
// several partitions, and a reader who adds up offsets would see gaps.
func TestRotationDoesNotChangeTheNameOfRecords(t *testing.T) {
	r := newRig(t, 1, "app.log")
	r.named()
	r.start()
	r.write("app.log", "one\ntwo\n")
	r.settle()
	r.write("app.log", "three\n")
	r.do(os.Rename(r.path("app.log"), r.path("app.log.1")))
	r.write("app.log", "four\n")
	r.start()
	r.settle()
	r.write("app.log", "five\n")
	r.shift(true)
	r.do(os.Rename(r.path("app.log"), r.path("app.log.1")))
	r.write("app.log", "six\n")
	r.start()
	r.settle()
	want := []string{"app.log 0 one", "app.log 4 two", "app.log 8 three", "app.log 0 four", "app.log 5 five", "app.log 0 six"}
	if got := r.store.values; !reflect.DeepEqual(got, want) {
		t.Fatalf("records %q, want %q", got, want)
	}
}

// A file that is first seen after it was rotated is named after its log, if there is one: also compressed, and
// after a restart.
func TestAFileThatWasRotatedBeforeItWasSeenIsNamedAfterItsLog(t *testing.T) {
	r := newRig(t, 1, "app.log", "day-*.log*")
	r.named()
	r.write("app.log", "one\n")
	r.start()
	r.settle()
	r.do(os.Rename(r.path("app.log"), r.path("app.log.2")))
	r.write("app.log.1", "two\n")
	r.write("app.log", "three\n")
	r.write("day-20261129.log", "four\n") // the program that writes it gives it this name
	r.gzip("day-20261129.log")
	r.start()
	r.settle()
	want := []string{"app.log 0 one", "app.log 0 three", "app.log 0 two", "day-20261129.log 0 four"}
	if got := slices.Sorted(slices.Values(r.store.values)); !reflect.DeepEqual(got, want) {
		t.Fatalf("records %q, want %q", got, want)
	}
}

// A copy that was truncated and renamed while nobody looked is known by the inode that its log had.
func TestACopyOfWhatWasReadIsNotReadAgainAfterTwoRotations(t *testing.T) {
	r := newRig(t, 1, "app.log")
	one := "one " + strings.Repeat("x", 200) // a shorter file is too little to know a copy by
	r.write("app.log", one+"\n")
	r.do(os.WriteFile(r.path("app.log.1"), []byte(one+"\n"), 0o600)) // the copy ends here
	r.write("app.log", "two\n")                                      // which is read before the log is truncated
	r.start()
	r.settle()
	r.do(os.Rename(r.path("app.log.1"), r.path("app.log.2")))
	r.do(os.Truncate(r.path("app.log"), 0))
	r.write("app.log", "three\n")
	r.do(os.Rename(r.path("app.log"), r.path("app.log.1")))
	r.write("app.log", "four\n")
	r.start()
	r.settle()
	want := []string{one, "two", "three", "four"}
	if got := r.store.values; !reflect.DeepEqual(got, want) {
		t.Fatalf("records %.20q, want %.20q", got, want)
	}
}

// A follower that has nothing to read writes nothing to the disk.
func TestAFollowerAtRestCommitsNothing(t *testing.T) {
	r := newRig(t, 1, "app.log", "*.log")
	r.write("app.log", "one\n")
	r.start()
	r.settle()
	notes := len(r.store.notes)
	for range 3 {
		r.w.watch.scan = true
		r.pass()
		if n := len(r.store.pending); n > 0 || len(r.store.notes) != notes {
			t.Fatalf("%d batches are sent by a scan that finds nothing new", n)
		}
	}
	sent := r.store.batches
	r.settle()
	if r.store.batches != sent {
		t.Fatalf("%d batches are sent at rest", r.store.batches-sent)
	}
}

// What is read at once may be several batches: of short lines, whose records take more room in the spool than in the file.
func TestShortLinesOfManyBatchesArriveAsTheyStand(t *testing.T) {
	r := newRig(t, 1, "app.log")
	var text strings.Builder
	var want []string
	for n := range 60_000 { // default bounds: a batch of 1 MiB holds about 19,000 of them
		want = append(want, fmt.Sprint(n))
		text.WriteString(want[n] + "\n")
	}
	r.write("app.log", text.String())
	r.start()
	r.settle()
	if len(r.store.values) != len(want) {
		t.Fatalf("%d records of %d lines", len(r.store.values), len(want))
	}
	for i := range want {
		if r.store.values[i] != want[i] {
			t.Fatalf("record %d is %q", i, r.store.values[i])
		}
	}
}

// A log that was emptied and got no line since is found empty by each start: its gap is reported once, and where nothing
// was missing by none. What is cut off later is reported again.
func TestACutIsReportedOnce(t *testing.T) {
	for _, seen := range []bool{true, false} { // cut while it was followed, or between two lives
		r := newRig(t, 1, "app.log", "*.log")
		gaps := func() (n int) {
			for _, e := range r.events {
				if e.Kind == Gap {
					n++
				}
			}
			return n
		}
		r.write("app.log", "one\n")
		r.start()
		r.settle()
		r.do(os.Truncate(r.path("app.log"), 0))
		want := 0
		if !seen {
			want = 1
			r.start()
		}
		for range 3 {
			r.settle()
			if gaps() != want {
				t.Fatalf("seen %v: %d gaps, want %d: %+v", seen, gaps(), want, r.events)
			}
			r.start()
		}
		r.write("app.log", "two\n")
		r.settle()
		r.do(os.Truncate(r.path("app.log"), 0))
		r.start()
		r.settle()
		if gaps() != want+1 {
			t.Fatalf("seen %v: %d gaps after it was cut again, want %d", seen, gaps(), want+1)
		}
	}
}
