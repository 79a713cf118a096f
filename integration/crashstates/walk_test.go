package crashstates

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/spoold/spoold/integration/powercut"
)

// seedOf is a new seed, or CRASH_SEED's.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if v := os.Getenv("CRASH_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("CRASH_SEED: %v", err)
		}
	}
	t.Logf("seed %d; the same again: CRASH_SEED=%d go test -count=1 ./integration/crashstates -run %s", seed, seed, t.Name())
	return seed
}

// randomEvents makes a trace at random: writes of a few sectors, some of them in parts, sizes, names, syncs. Syncs overlap with the call after them.
func randomEvents(rng *rand.Rand, n, sectors int) []Event {
	var out []Event
	line := 0
	names := []string{"/d/a", "/d/b", "/d/c"}[:1+rng.IntN(3)]
	for range n {
		line++
		e := Event{Start: line, End: line, Path: names[rng.IntN(len(names))]}
		switch rng.IntN(18) {
		case 0, 1:
			e.Kind = Create
		case 2:
			e.Kind, e.NewPath = Rename, names[rng.IntN(len(names))]
		case 3:
			e.Kind = Unlink
		case 4, 9:
			e.Kind, e.Size = Truncate, rng.Int64N(int64(sectors)*sector)
		case 5:
			e.Kind, e.Size = Allocate, rng.Int64N(int64(sectors)*sector)
		case 6:
			e.Kind, e.End = Sync, line+rng.IntN(2)
		case 7:
			e.Kind, e.Path = Sync, "/d"
		case 8:
			e.Kind = FailedSync
		default:
			e.Kind, e.Off = Write, rng.Int64N(int64(sectors))*sector
			e.Data = bytes.Repeat([]byte{byte(rng.IntN(3))}, sector*(1+rng.IntN(2)))
			if rng.IntN(3) == 0 {
				e.Data, e.Off = e.Data[:1+rng.IntN(len(e.Data))], e.Off+rng.Int64N(sector)
			}
		}
		out = append(out, e)
	}
	return out
}

// possible leaves out what no system does: a rename of a file that is not there, or onto one that is.
func possible(events []Event) []Event {
	there := map[string]bool{}
	return slices.DeleteFunc(events, func(e Event) bool {
		switch e.Kind {
		case Create:
			there[e.Path] = true
		case Rename:
			if !there[e.Path] || there[e.NewPath] {
				return true
			}
			delete(there, e.Path)
			there[e.NewPath] = true
		case Unlink:
			if !there[e.Path] {
				return true
			}
			delete(there, e.Path)
		}
		return false
	})
}

// naive makes every state of what waits, without a thought: each sector of each write is kept or lost, whatever is in it.
func naive(d *Disk, limit int) (states map[string]bool, ok bool) {
	type piece struct {
		c      *powercut.Change
		sector int64
		m      *powercut.Move
	}
	var pieces []piece
	for _, f := range d.Files {
		for _, c := range f.Pending {
			if c.Kind != powercut.Write {
				pieces = append(pieces, piece{c: c})
				continue
			}
			for at := c.Off / sector; at*sector < c.Off+int64(len(c.Data)); at++ {
				pieces = append(pieces, piece{c: c, sector: at})
			}
		}
	}
	for _, m := range d.Moves {
		pieces = append(pieces, piece{m: m})
	}
	if len(pieces) > limit {
		return nil, false
	}
	states = map[string]bool{}
	for mask := range 1 << len(pieces) {
		out := map[string]Image{}
		for _, f := range d.Files {
			data, size, name := slices.Clone(f.Data), f.Size, f.Name
			for _, c := range f.Pending {
				kept := map[int64]bool{}
				for i, p := range pieces {
					if p.c == c && mask>>i&1 == 1 {
						kept[p.sector] = true
					}
				}
				if c.Kind == powercut.Write || kept[0] {
					data, size = c.Apply(data, size, func(at int64) bool { return kept[at] })
				}
			}
			stopped := false
			for i, p := range pieces {
				if p.m != nil && p.m.File == f {
					if stopped = stopped || mask>>i&1 == 0; !stopped {
						name = p.m.To
					}
				}
			}
			if name != "" {
				out[name] = image(data, size)
			}
		}
		states[print(out)] = true
	}
	return states, true
}

func print(state map[string]Image) string {
	s := ""
	for _, name := range slices.Sorted(maps.Keys(state)) {
		s += name + " " + strconv.FormatInt(state[name].Size, 10) + " " + string(state[name].Data) + "\n"
	}
	return s
}

func TestWalkMakesExactlyTheStatesThatAreThere(t *testing.T) {
	seed := seedOf(t)
	compared := 0
	for n := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, n))
		events := possible(randomEvents(rng, 4+rng.IntN(10), 1+rng.IntN(3)))
		want := map[string]bool{}
		d := NewDisk("/d", nil, events, Lies{})
		all := true
		for line := range 20 {
			d.Advance(line)
			states, ok := naive(d, 10)
			maps.Copy(want, states)
			all = all && ok
		}
		if !all {
			continue // too many to try them
		}
		compared++
		c := &Case{Events: events}
		w, err := newWalk(c, Exhaustive, Lies{})
		if err != nil {
			t.Fatal(err)
		}
		w.d = NewDisk("/d", nil, events, Lies{})
		got := map[string]int{}
		w.take = func(*State) int { got[print(w.fr.images())]++; return none }
		if err := w.run(); err != nil {
			t.Fatalf("seed %d, history %d: %v", seed, n, err)
		}
		delete(want, "") // before the first event there is nothing to make
		delete(got, "")
		for state := range want {
			if got[state] == 0 {
				t.Fatalf("seed %d, history %d: not made:\n%.500q", seed, n, state)
			}
		}
		for state := range got {
			if !want[state] {
				t.Fatalf("seed %d, history %d: made, but impossible:\n%.500q", seed, n, state)
			}
		}
	}
	if compared < 400 {
		t.Errorf("only %d histories were small enough", compared)
	}
}

// What the spool has done to the last state must not be in the next one.
func TestStageShowsTheStateWhateverWasDoneToTheLast(t *testing.T) {
	seed := seedOf(t)
	for n := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, n))
		events := possible(randomEvents(rng, 60, 100))
		s, err := newStage(filepath.Join(t.TempDir(), "stage"))
		if err != nil {
			t.Fatal(err)
		}
		d := NewDisk("/d", nil, events, Lies{})
		for line := range 62 {
			d.Advance(line)
			fr := d.frame()
			for range 3 {
				kept := make(Kept, len(fr.units))
				fr.draw(kept, rng, 0)
				fr.sum(kept)
				if err := s.show(fr); err != nil {
					t.Fatalf("seed %d, history %d: %v", seed, n, err)
				}
				got, err := readState(s.dir)
				if err != nil {
					t.Fatal(err)
				}
				if print(got) != print(fr.images()) {
					t.Fatalf("seed %d, history %d, line %d: the stage is not the state", seed, n, line)
				}
				scribble(t, rng, s.dir)
			}
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// scribble does to a directory what a spool might, and worse.
func scribble(t *testing.T, rng *rand.Rand, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var err error
		switch rng.IntN(5) {
		case 0:
			err = os.Truncate(path, rng.Int64N(100<<10))
		case 1:
			err = os.Remove(path)
		case 2:
			err = os.Rename(path, path+".moved")
		default:
			var f *os.File
			if f, err = os.OpenFile(path, os.O_RDWR, 0); err == nil {
				_, err = f.WriteAt(bytes.Repeat([]byte{9}, 1+rng.IntN(9000)), rng.Int64N(80<<10))
				_ = f.Close()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if rng.IntN(2) == 0 {
		if err := os.WriteFile(filepath.Join(dir, "another"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
