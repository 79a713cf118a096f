package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// cuts gives each state that many power cuts leave, as text.
func cuts(d *Disk, tally Tally) map[string]bool {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		files := d.Cut(rand.New(rand.NewPCG(seed, 1)), tally)
		var out []string
		for _, name := range slices.Sorted(maps.Keys(files)) {
			im := files[name]
			out = append(out, fmt.Sprintf("%s=%s", name, strings.ReplaceAll(string(im.Data), "\x00", "_")))
		}
		seen[strings.Join(out, " ")] = true
	}
	return seen
}

func expect(t *testing.T, got map[string]bool, want ...string) {
	t.Helper()
	if states := slices.Sorted(maps.Keys(got)); !slices.Equal(states, slices.Sorted(slices.Values(want))) {
		t.Errorf("power cuts leave %q, want %q", states, want)
	}
}

func now(tick int) When { return When{tick, tick} }

func TestNothingSurvivesForSureBeforeBothSyncs(t *testing.T) {
	d := New(nil)
	f := d.Create("a", now(1))
	f.Write(0, []byte("x"), now(2))
	expect(t, cuts(d, Tally{}), "", "a=", "a=x")
	f.Sync(3)
	expect(t, cuts(d, Tally{}), "", "a=x")
	d.SyncNames(4)
	expect(t, cuts(d, Tally{}), "a=x")
	if d.Waiting() != 0 {
		t.Errorf("%d changes wait after both syncs", d.Waiting())
	}
}

func TestSyncPassesOverWhatHadNotEndedWhenItBegan(t *testing.T) {
	d := New(map[string]Image{"a": {}})
	f := d.Find("a")
	f.Write(0, []byte("x"), When{1, 3})
	f.Write(1, []byte("y"), When{4, Never})
	f.Sync(2)
	expect(t, cuts(d, Tally{}), "a=", "a=x", "a=xy", "a=_y")
	f.Sync(5)
	expect(t, cuts(d, Tally{}), "a=x", "a=xy")
}

func TestWritesAreTornBetweenSectorsAndNotWithin(t *testing.T) {
	d := New(map[string]Image{"a": {}})
	d.Find("a").Write(0, []byte(strings.Repeat("x", 2*Sector)), now(1))
	tally := Tally{}
	for state := range cuts(d, tally) {
		text := strings.TrimPrefix(state, "a=")
		for i := 0; i < len(text); i += Sector {
			if part := text[i:min(i+Sector, len(text))]; part != strings.Repeat(part[:1], len(part)) {
				t.Fatalf("a sector is torn: %q", part)
			}
		}
	}
	if tally["torn write"] == 0 || tally["lost write"] == 0 {
		t.Errorf("neither torn nor lost: %v", tally)
	}
}

func TestNamesOfOneFileAreLostFromTheEndOfItsWay(t *testing.T) {
	d := New(map[string]Image{"a": {}, "b": {}})
	d.Sort = func(name string) string { return "file " + name }
	d.Rename("a", "c", now(1))
	d.Unlink("b", now(2))
	tally := Tally{}
	expect(t, cuts(d, tally), "a= b=", "b= c=", "c=", "a=")
	for _, kind := range []string{"lost rename of file c", "kept rename of file c", "lost unlink of file b", "kept unlink of file b"} {
		if tally[kind] == 0 {
			t.Errorf("never: %s in %v", kind, tally)
		}
	}
}

func TestRenameTakesThePlaceOfAnotherFile(t *testing.T) {
	d := New(map[string]Image{"a": {Data: []byte("x"), Size: 1}, "b": {Data: []byte("y"), Size: 1}})
	d.Rename("a", "b", now(1))
	expect(t, cuts(d, Tally{}), "a=x b=y", "b=x")
	d.SyncNames(2)
	expect(t, cuts(d, Tally{}), "b=x")
}

func TestWhatAFailedSyncLostNoLaterSyncSaves(t *testing.T) {
	lost := Tally{}
	block := func(letter string) string { return strings.Repeat(letter, Sector) }
	left := map[string]bool{}
	for seed := range uint64(200) {
		before := block("a") + block("a") + block("a")
		d := New(map[string]Image{"a": {Data: []byte(before), Size: int64(len(before))}})
		f := d.Find("a")
		f.Write(0, []byte(block("b")), now(1))
		f.Write(Sector, []byte(block("c")+block("c")+block("c")), now(2))
		f.Write(4*Sector, []byte("!"), When{3, 9})
		f.FailSync(5, rand.New(rand.NewPCG(seed, 1)), lost)
		data, size := f.Content()
		if size != 4*Sector+1 || data[Sector] != 'a' || data[4*Sector] != '!' {
			t.Fatalf("seed %d: the disk gives %d bytes, %q and %q", seed, size, data[Sector], data[4*Sector])
		}
		f.Sync(10)
		f.Sync(11)
		for _, im := range d.Cut(rand.New(rand.NewPCG(seed, 2)), Tally{}) {
			if im.Size != size || string(im.Data) != string(data) {
				t.Fatalf("seed %d: the next sync has saved what was lost, or lost what was not", seed)
			}
			left[string([]byte{data[0], data[2*Sector], data[3*Sector]})] = true
		}
	}
	if len(left) != 8 {
		t.Errorf("failed syncs leave %q of the first write and the rest of the second", slices.Sorted(maps.Keys(left)))
	}
	if lost["lost write by a failed sync"] == 0 || lost["torn write by a failed sync"] == 0 {
		t.Errorf("%v", lost)
	}
}

func TestFilesKeepTheirNumbersThroughAPowerCut(t *testing.T) {
	d := New(nil)
	a, b := d.Create("a", now(1)), d.Create("b", now(2))
	d.SyncNames(3)
	after := d.After(rand.New(rand.NewPCG(1, 1)), Tally{})
	if after.Find("a").Number != a.Number || after.Find("b").Number != b.Number {
		t.Errorf("files %d and %d are %d and %d", a.Number, b.Number, after.Find("a").Number, after.Find("b").Number)
	}
	if c := after.Create("c", now(4)); c.Number == a.Number || c.Number == b.Number {
		t.Errorf("a new file has the number %d of an old one", c.Number)
	}
}
