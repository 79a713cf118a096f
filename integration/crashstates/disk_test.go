package crashstates

import (
	"math/rand/v2"
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

func TestSyncKeepsOnlyWhatHadEndedBeforeItBegan(t *testing.T) {
	events, err := ParseTrace(strings.NewReader(someTrace), "/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 8 || events[7].End != never {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	seen := map[string]bool{}
	for line := range 12 {
		for seed := range uint64(200) {
			d := NewDisk("/d", nil, events, Lies{})
			d.Advance(line)
			files := d.Cut(rand.New(rand.NewPCG(seed, 1)), Tally{})
			for name, im := range files {
				seen[name+string(im.Data)] = true
			}
			synced, named := line >= 5, line >= 8
			if named && (len(files) != 1 || files["u"].Size < 2) {
				t.Fatalf("line %d, seed %d: %v after both syncs", line, seed, files)
			}
			for name, im := range files {
				if synced && !strings.HasPrefix(string(im.Data), "aa") {
					t.Fatalf("line %d, seed %d: %s holds %q after the sync", line, seed, name, im.Data)
				}
			}
		}
	}
	for _, want := range []string{"t", "taa", "taab", "uaa", "uaab", "uaabc", "uaa\x00c"} {
		if !seen[want] {
			t.Errorf("no cut left %q: %v", want, seen)
		}
	}
}

func TestLiesMakeSyncsWorthless(t *testing.T) {
	events, err := ParseTrace(strings.NewReader(someTrace), "/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	for _, lies := range []Lies{{FileSync: true}, {DirSync: true}} {
		lost := 0
		for seed := range uint64(100) {
			d := NewDisk("/d", nil, events, lies)
			d.Advance(9)
			if f := d.Cut(rand.New(rand.NewPCG(seed, 1)), Tally{})["u"]; f.Size < 2 {
				lost++
			}
		}
		if lost == 0 {
			t.Errorf("%+v lost nothing", lies)
		}
	}
}
