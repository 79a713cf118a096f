package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

// severalSegments makes a spool of at least three segments with 150 pending records, and returns their numbers.
func severalSegments(t *testing.T, o Options) (numbers []uint64) {
	t.Helper()
	l, _ := openLoop(t, o)
	value := strings.Repeat("x", 4000)
	for range 150 {
		if err := mustAppend(t, l.s, "a", value).Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	l.close()
	numbers, _, err := listSegments(o.Path)
	if err != nil || len(numbers) < 3 {
		t.Fatalf("segments %v, %v", numbers, err)
	}
	return numbers
}

func TestMissingNewestSegmentIsDamageToEveryReader(t *testing.T) {
	o := tinyOptions(t.TempDir())
	newest := slices.Max(severalSegments(t, o))
	if err := os.Remove(segmentPath(o.Path, newest)); err != nil {
		t.Fatal(err)
	}
	missing := func(what string, err error) {
		t.Helper()
		var bad *spool.CorruptError
		if !errors.As(err, &bad) || bad.Segment != newest {
			t.Errorf("%s without the newest segment %d: %v", what, newest, err)
		}
	}
	_, _, err := Open(o)
	missing("Open", err)
	_, err = Look(o.Path)
	missing("Look", err)
	_, err = Repair(o.Path, filepath.Join(t.TempDir(), "new"), func(int64, int64) {})
	missing("Repair", err)
	rep, err := Check(o.Path, func(int64, int64) {})
	if err != nil || len(rep.Problems) != 1 {
		t.Fatalf("Check: %+v, %v", rep, err)
	}
	missing("Check", rep.Problems[0].Err)

	// The operator's way out: an empty lock file says nothing.
	if err := os.Truncate(filepath.Join(o.Path, lockName), 0); err != nil {
		t.Fatal(err)
	}
	l, r := openLoop(t, o)
	l.close()
	if r.Counters.Accepted == 0 || r.Counters.Accepted >= 150 {
		t.Errorf("%d records are left, want those of the older segments", r.Counters.Accepted)
	}
}

// A kill right behind the first commit in a new segment leaves the former number: the spool opens with all its records.
func TestKillBeforeTheNewestSegmentIsNotedIsHarmless(t *testing.T) {
	o := tinyOptions(t.TempDir())
	killed := ""
	o.Faults = &Faults{Point: func(name string) {
		if name == "new segment committed" {
			killed = filepath.Join(t.TempDir(), "killed")
			copyDir(t, o.Path, killed)
		}
	}}
	newest := slices.Max(severalSegments(t, o))
	o.Path, o.Adopt, o.Faults = killed, true, nil
	l, _ := openLoop(t, o)
	if l.s.lock.newest != newest {
		t.Errorf("the start noted segment %d, want %d", l.s.lock.newest, newest)
	}
	l.close()
	if _, _, err := Inspect(killed); err != nil {
		t.Error(err)
	}
}

func TestTornLineOfTheLockFileSaysNothing(t *testing.T) {
	whole := "12\nid\n" + newestLine(7)
	if _, _, n := parseLock(whole); n != 7 {
		t.Errorf("parseLock(%q) gives segment %d", whole, n)
	}
	for cut := range len(whole) - 1 {
		if _, _, n := parseLock(whole[:cut]); n != 0 {
			t.Errorf("parseLock(%q) gives segment %d", whole[:cut], n)
		}
	}
	for _, torn := range []string{strings.Replace(whole, "07 ", "08 ", 1), strings.Repeat("\x00", len(whole)), "12\nid\n"} {
		if _, _, n := parseLock(torn); n != 0 {
			t.Errorf("parseLock(%q) gives segment %d", torn, n)
		}
	}
}
