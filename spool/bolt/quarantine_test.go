package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

// damages are ways to damage a file of whole pages.
var damages = []struct {
	name string
	do   func(b []byte, page int) []byte
}{
	{"zeroed", func(b []byte, page int) []byte { clear(b[page*pageSize : (page+1)*pageSize]); return b }},
	{"flipped", func(b []byte, page int) []byte { b[page*pageSize+pageSize/2] ^= 0x10; return b }},
	{"truncated", func(b []byte, page int) []byte { return b[:page*pageSize] }},
}

// goldenSpool is a spool of several segments, with something of everything.
func goldenSpool(t *testing.T) (Options, string) {
	dir := t.TempDir()
	makeGolden(t, dir)
	numbers, _, err := listSegments(dir)
	if err != nil || len(numbers) < 3 {
		t.Fatalf("segments %v, %v", numbers, err)
	}
	o := tinyOptions(dir)
	o.Adopt = true
	name, size := "", int64(0) // the largest but the active one
	for _, n := range numbers[:len(numbers)-1] {
		if st, err := os.Stat(segmentPath(dir, n)); err == nil && st.Size() > size {
			name, size = segmentName(n), st.Size()
		}
	}
	return o, name
}

// pageKind says what a page of a bbolt file is.
func pageKind(b []byte, page int) string {
	p := b[page*pageSize:]
	switch {
	case page < 2:
		return "meta"
	case binary.LittleEndian.Uint64(p) != uint64(page):
		return "overflow"
	}
	return map[uint16]string{flagBranch: "branch", flagLeaf: "leaf"}[binary.LittleEndian.Uint16(p[8:])]
}

// Whichever page of an older segment is damaged, and however: the spool opens, hands out only what was written, names and counts
// what is lost, and says the same at the next start. The file is kept.
func TestADamagedSegmentIsSetAsideWhateverPageItIs(t *testing.T) {
	t.Parallel()
	o, name := goldenSpool(t)
	good, err := os.ReadFile(filepath.Join(o.Path, name))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for page := range len(good) / pageSize {
		kind := pageKind(good, page)
		if kinds[kind]++; kinds[kind] > 1 && kind != "meta" {
			continue
		}
		for _, d := range damages {
			t.Run(fmt.Sprintf("%s page %d %s", kind, page, d.name), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "spool")
				copyDir(t, o.Path, dir)
				b := d.do(slices.Clone(good), page)
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
				o := o
				o.Path, o.Verify = dir, []uint64{1, 2, 3, 4}
				checkSetAside(t, o, name, b)
			})
		}
	}
	if kinds["meta"] != 2 || kinds["leaf"] < 3 || kinds["overflow"] == 0 {
		t.Errorf("pages %v: not of every kind", kinds)
	}
}

// checkSetAside opens a spool of which the oldest segment may be damaged, twice.
func checkSetAside(t *testing.T, o Options, name string, b []byte) {
	var before spool.Counters
	for start := range 2 {
		l, r := openLoop(t, o)
		if start == 1 && (len(r.Damage) > 0 || r.Counters != before) {
			t.Errorf("second start: damage %+v, %+v; before %+v", r.Damage, r.Counters, before)
		}
		before = r.Counters
		want := spool.Counters{Accepted: uint64(2*goldenRecords + 3 + start), Acked: uint64(51 + start), DeadLettered: 2, Lost: r.Counters.Lost}
		if r.Counters != want {
			t.Errorf("counters %+v, want %+v", r.Counters, want)
		}
		here, missing := 0, 0
		for i, topic := range []string{"a", "b", "k"} {
			got := readAll(t, l.s, spool.LaneID(i))
			here += len(got)
			missing += countSpans(r.Lanes[i].Missing)
			all := goldenPending(topic)
			maps.DeleteFunc(all, func(i spool.Index, _ string) bool { _, ok := got[i]; return !ok })
			if !maps.Equal(got, all) {
				t.Errorf("%q: what is read is not what was written", topic)
			}
		}
		if int(r.Counters.Pending()) != here+missing {
			t.Errorf("%d are pending, %d can be read, %d are missing", r.Counters.Pending(), here, missing)
		}
		lost := 0
		for _, g := range l.s.state.Gaps() {
			lost += g.Len()
		}
		if lost != int(r.Counters.Lost) {
			t.Errorf("gaps of %d records, %d are lost", lost, r.Counters.Lost)
		}
		if start == 0 && len(r.Damage) == 1 {
			kept, err := os.ReadFile(r.Damage[0].Path)
			if err != nil || string(kept) != string(b) || !strings.HasSuffix(r.Damage[0].Path, name+damagedSuffix) {
				t.Errorf("the file is not kept as %s: %v", r.Damage[0].Path, err)
			}
		}
		for _, d := range l.s.DeadLetters(DeadFilter{}, -1) {
			if _, err := l.s.DeadEntry(d.Lane, d.Index); err != nil {
				t.Errorf("dead letter %d: %v", d.Index, err)
			}
		}
		if got := len(l.s.DeadLetters(DeadFilter{}, -1)); got != l.s.Stats().DeadLetters {
			t.Errorf("%d dead letters are listed, %d counted", got, l.s.Stats().DeadLetters)
		}
		mustAppend(t, l.s, "a", "new")
		l.quiet()
		l.settle("a", spool.Span{First: spool.Index(goldenRecords + start), End: spool.Index(goldenRecords + start + 1)})
		before.Accepted++
		before.Acked++
		if start == 0 {
			l.close()
			continue
		}
		// All is settled: what was missing too. The damaged file stays.
		for i, topic := range []string{"a", "b", "k"} {
			l.settle(topic, spool.Span{End: l.s.state.End(spool.LaneID(i))})
		}
		l.quiet()
		if st := l.s.Stats(); st.Counters.Pending() != 0 || st.Counters.Lost != before.Lost {
			t.Errorf("at the end %+v", st.Counters)
		}
		l.close()
	}
}

// A copy that may not be taken over is refused before its damaged segment is renamed.
func TestACopyIsRefusedBeforeItsDamageIsSetAside(t *testing.T) {
	o, name := goldenSpool(t)
	dir := filepath.Join(t.TempDir(), "copy")
	copyDir(t, o.Path, dir)
	if err := os.Truncate(filepath.Join(dir, name), 3*pageSize); err != nil {
		t.Fatal(err)
	}
	o.Path, o.Adopt = dir, false
	before := listing(t, dir)
	if _, _, err := Open(o); !errors.Is(err, ErrForeign) {
		t.Errorf("%v, want ErrForeign", err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the directory is %s, was %s", after, before)
	}
}

// With the policy to stop, and for what may not be set aside, a start says where the damage is and changes nothing.
func TestDamageThatMayNotBeSetAsideStops(t *testing.T) {
	o, name := goldenSpool(t)
	numbers, _, _ := listSegments(o.Path)
	for _, tt := range []struct {
		what string
		file string
		stop bool
		do   func(path string) error
	}{
		{"policy", name, true, func(path string) error { return os.Truncate(path, 3*pageSize) }},
		{"missing", name, false, os.Remove},
		{"state", segmentName(numbers[len(numbers)-1]), false, func(path string) error { return os.Truncate(path, 3*pageSize) }},
	} {
		dir := filepath.Join(t.TempDir(), "spool")
		copyDir(t, o.Path, dir)
		if err := tt.do(filepath.Join(dir, tt.file)); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		o := o
		o.Path, o.StopOnDamage = dir, tt.stop
		for range 2 {
			_, _, err := Open(o)
			var damage *spool.CorruptError
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("%s: %v", tt.what, err)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("%s: the directory is %s, was %s", tt.what, after, before)
			}
		}
	}
}

func listing(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(e.Name(), info.Size()))
	}
	return strings.Join(names, " ")
}

// A kill at any step of setting a segment aside: the next start does it, once.
func TestAKillWhileASegmentIsSetAsideLosesNothingMore(t *testing.T) {
	t.Parallel()
	o, name := goldenSpool(t)
	path := filepath.Join(o.Path, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[5*pageSize : 9*pageSize])
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Verify = []uint64{1, 2, 3, 4}
	points := []string{"segment to be set aside", "segment renamed aside", "before commit", "after commit"}
	var want spool.Counters
	for i, point := range append(points, "") {
		dir, killed := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "killed")
		copyDir(t, o.Path, dir)
		o := o
		o.Path = dir
		once := false
		o.Faults = &Faults{Point: func(at string) {
			if at == point && !once {
				once = true
				copyDir(t, dir, killed)
			}
		}}
		l, r := openLoop(t, o)
		l.close()
		if i == 0 {
			want = r.Counters
		}
		if r.Counters != want || want.Lost == 0 {
			t.Fatalf("%+v, want %+v, some lost", r.Counters, want)
		}
		if point == "" {
			continue
		}
		o.Path, o.Faults = killed, nil
		l, r = openLoop(t, o)
		if r.Counters != want {
			t.Errorf("killed at %q: %+v, want %+v", point, r.Counters, want)
		}
		if got, _ := damagedFiles(killed); len(got) != 1 {
			t.Errorf("killed at %q: kept %v", point, got)
		}
		l.close()
	}
}
