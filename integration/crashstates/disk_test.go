package crashstates

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A trace by hand: two processes whose calls overlap. 0x61 is a.
const someTrace = `10 openat(AT_FDCWD</>, "\x2f\x64\x2f\x74", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<\x2f\x64\x2f\x74>
10 pwrite64(3<\x2f\x64\x2f\x74>, "\x61\x61", 2, 0) = 2
10 fdatasync(3<\x2f\x64\x2f\x74> <unfinished ...>
11 pwrite64(3<\x2f\x64\x2f\x74>, "\x62", 1, 2) = 1
10 <... fdatasync resumed>)             = 0
11 renameat(AT_FDCWD</>, "\x2f\x64\x2f\x74", AT_FDCWD</>, "\x2f\x64\x2f\x75") = 0
11 unlinkat(AT_FDCWD</>, "\x2f\x64\x2f\x78", 0) = -1 ENOENT (No such file or directory)
11 fsync(4<\x2f\x64>) = 0
11 write(5<\x2f\x6d>, "\x62\x20\x31\x0a", 4) = 4
11 pwrite64(3<\x2f\x64\x2f\x75>, "\x63", 1, 3 <unfinished ...>
10 +++ killed by SIGKILL +++
`

// cuts makes every state of a trace by hand, line by line.
func cuts(t *testing.T, text string, lies Lies, take func(line int, files map[string]Image)) {
	t.Helper()
	events, lines, err := ParseTrace(strings.NewReader(text), "/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDisk("/d", nil, events, lies)
	for line := range lines + 1 {
		d.Advance(line)
		fr := d.frame()
		kept := make(Kept, len(fr.units))
		for mask := range 1 << len(kept) {
			for i := range kept {
				kept[i] = whole * uint8(mask>>i&1)
			}
			fr.sum(kept)
			take(line, fr.images())
		}
	}
}

func TestSyncKeepsOnlyWhatHadEndedBeforeItBegan(t *testing.T) {
	seen := map[string]bool{}
	cuts(t, someTrace, Lies{}, func(line int, files map[string]Image) {
		for name, im := range files {
			seen[name+string(im.Data)] = true
		}
		synced, named := line >= 5, line >= 8
		if named && (len(files) != 1 || files["u"].Size < 2) {
			t.Fatalf("line %d: %v after both syncs", line, files)
		}
		for name, im := range files {
			if synced && !strings.HasPrefix(string(im.Data), "aa") {
				t.Fatalf("line %d: %s holds %q after the sync", line, name, im.Data)
			}
		}
	})
	for _, want := range []string{"t", "taa", "taab", "uaa", "uaab", "uaabc", "uaa\x00c"} {
		if !seen[want] {
			t.Errorf("no cut left %q: %v", want, seen)
		}
	}
}

// A thread that ends while strace looks at it is written as a call without a name, in one line or in two.
func TestAThreadThatEndsUnseenIsNoCall(t *testing.T) {
	const unseen = "12 ???( <unfinished ...>\n10 +++ exited with 0 +++\n12 <... ??? resumed>) = ?\n13 ???() = ?\n"
	with, _, err := ParseTrace(strings.NewReader(unseen+someTrace), "/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	without, _, err := ParseTrace(strings.NewReader(someTrace), "/d", "/m")
	if err != nil || len(with) != len(without) {
		t.Errorf("%d calls, want %d (%v)", len(with), len(without), err)
	}
	if _, _, err := ParseTrace(strings.NewReader("12 <... write resumed>) = 1\n"), "/d", "/m"); err == nil {
		t.Error("a write that ends and did not begin is taken")
	}
}

// A process that is killed while strace looks at its call leaves a line without an end. The call may have happened, unless strace had not
// seen all that it was given.
func TestACallThatItsKillCutShortMayHaveHappened(t *testing.T) {
	events, _, err := ParseTrace(strings.NewReader(`10 unlinkat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x74", 0 <detached ...>
11 unlinkat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x75" <detached ...>
12 pwrite64(3<\x2f\x64\x2f\x75> <detached ...>
`), "/d", "/m")
	if err != nil || len(events) != 1 || events[0].Kind != Unlink || events[0].Path != "/d/t" || events[0].End != never {
		t.Errorf("%+v, %v, want the first one, that has no end", events, err)
	}
}

// Else a sync that SIGKILL met would be taken for one that failed, which loses what was written before it for good.
func TestASyncWhoseResultNobodySawHasNotFailed(t *testing.T) {
	events, _, err := ParseTrace(strings.NewReader(`10 fdatasync(3<\x2f\x64\x2f\x74>) = -1 (errno 18446744073709551541)
11 fdatasync(3<\x2f\x64\x2f\x74>) = -1 EIO (Input/output error)
`), "/d", "/m")
	if err != nil || len(events) != 2 {
		t.Fatalf("%+v, %v", events, err)
	}
	if events[0].Kind != Sync || events[0].End != never || events[1].Kind != FailedSync {
		t.Errorf("%+v, want a sync that did not end, and one that failed", events)
	}
}

func TestLiesMakeSyncsWorthless(t *testing.T) {
	for _, lies := range []Lies{{FileSync: true}, {DirSync: true}} {
		lost := 0
		cuts(t, someTrace, lies, func(line int, files map[string]Image) {
			if line == 9 && files["u"].Size < 2 {
				lost++
			}
		})
		if lost == 0 {
			t.Errorf("%+v lost nothing", lies)
		}
	}
}

// Two pages are written and a sync fails; then half of the first one is written again, and synced.
const failedTrace = `10 openat(AT_FDCWD</>, "\x2f\x64\x2f\x74", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<\x2f\x64\x2f\x74>
10 fsync(4<\x2f\x64>) = 0
10 pwrite64(3<\x2f\x64\x2f\x74>, "\x61\x61", 2, 0) = 2
10 pwrite64(3<\x2f\x64\x2f\x74>, "\x62\x62", 2, 4096) = 2
10 fdatasync(3<\x2f\x64\x2f\x74>) = -1 EIO (Input/output error) (INJECTED)
10 pwrite64(3<\x2f\x64\x2f\x74>, "\x63", 1, 1) = 1
10 fdatasync(3<\x2f\x64\x2f\x74>) = 0
`

func TestSyncThatFailsLosesWhatNoLaterOneWrites(t *testing.T) {
	seen := map[string]bool{}
	cuts(t, failedTrace, Lies{}, func(line int, files map[string]Image) {
		im := files["t"]
		if line < 7 {
			return
		}
		// The first page was written again, and with it what it held; the second one never was.
		if string(im.Data[:2]) != "ac" {
			t.Errorf("the first page holds %q after a sync", im.Data[:2])
		}
		seen[string(im.Data[2:])] = true
	})
	if len(seen) != 2 || !seen[""] || !seen[strings.Repeat("\x00", 4094)+"bb"] {
		t.Errorf("the second page must be lost, or not: %d contents", len(seen))
	}
}

func TestNextProcessReadsWhatWasLostUnlessTheCacheIsDropped(t *testing.T) {
	events, lines, err := ParseTrace(strings.NewReader(failedTrace), "/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	events = events[:5] // until the sync has failed
	read := func(warm bool, seed uint64) string {
		d := NewDisk("/d", nil, append(events[:5:5], Event{Kind: Restart, Start: lines, End: lines, Warm: warm, Seed: seed}), Lies{})
		d.Advance(lines)
		return strings.ReplaceAll(string(d.Visible()["t"].Data), "\x00", "")
	}
	cold := map[string]bool{}
	for seed := range uint64(200) {
		if got := read(true, seed); got != "aabb" {
			t.Fatalf("with a warm cache the next process reads %q", got)
		}
		cold[read(false, seed)] = true
	}
	if len(cold) != 4 || !cold[""] || !cold["aa"] || !cold["bb"] || !cold["aabb"] {
		t.Errorf("with a cold cache the next process reads %v", cold)
	}
}

func TestEveryStateIsMadeOnce(t *testing.T) {
	events, _, err := ParseTrace(strings.NewReader(someTrace), "/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	events = slices.DeleteFunc(events, func(e Event) bool { return e.Kind == Mark })
	want := map[string]bool{}
	cuts(t, someTrace, Lies{}, func(_ int, files map[string]Image) { want[fmt.Sprint(files)] = true })
	got := map[string]int{}
	c := &Case{Recipe: Recipe{Dir: ""}, Events: events}
	c.Dir = "/"
	w, err := newWalk(c, Exhaustive, Lies{})
	if err != nil {
		t.Fatal(err)
	}
	w.d = NewDisk("/d", nil, events, Lies{})
	w.take = func(s *State) int { got[fmt.Sprint(w.fr.images())]++; return none }
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	for state := range want {
		if got[state] != 1 {
			t.Errorf("made %d times: %s", got[state], state)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d states, not %d", len(got), len(want))
	}
}
