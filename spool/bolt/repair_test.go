package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/spoold/spoold/spool"
)

// A repair makes a new spool of what can be vouched for, whichever file's records are damaged, and leaves the old one as it is.
// Without the state there is none.
func TestRepairMakesANewSpoolOfWhatIsLeft(t *testing.T) {
	t.Parallel()
	o, old := goldenSpool(t)
	numbers, _, _ := listSegments(o.Path)
	active := segmentName(numbers[len(numbers)-1])
	for _, tt := range []struct {
		what, file string
		do         func(t *testing.T, path string)
		lost       bool
		fails      bool
	}{
		{"nothing", old, func(*testing.T, string) {}, false, false},
		{"an older segment", old, func(t *testing.T, path string) { overwrite(t, path, 3*pageSize, 40*pageSize) }, true, false},
		{"records of the active segment", active, hurtRecord, true, false},
		{"an older segment that was deleted", old, func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, true, false},
		{"the state", active, func(t *testing.T, path string) { overwrite(t, path, 0, 2*pageSize) }, false, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			copyDir(t, o.Path, dir)
			tt.do(t, filepath.Join(dir, tt.file))
			before := listing(t, dir)
			to := filepath.Join(t.TempDir(), "new")
			rep, err := Repair(dir, to, func(int64, int64) {})
			if after := listing(t, dir); after != before {
				t.Errorf("the old spool is %s, was %s", after, before)
			}
			if tt.fails {
				var damage *spool.CorruptError
				if _, statErr := os.Stat(to); !errors.As(err, &damage) || statErr == nil {
					t.Errorf("%v, and the new directory: %v", err, statErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (rep.Counters.Lost > 0) != tt.lost || len(rep.Damage) > 1 {
				t.Errorf("%+v", rep)
			}
			if check, err := Check(to, func(int64, int64) {}); err != nil || len(check.Problems) > 0 {
				t.Errorf("the new spool: %+v, %v", check, err)
			}
			o := o
			o.Path = to
			checkSetAside(t, o, tt.file, nil)
			if _, err := Repair(dir, to, func(int64, int64) {}); !errors.Is(err, os.ErrExist) {
				t.Errorf("the same once more: %v", err)
			}
		})
	}
}

func overwrite(t *testing.T, path string, from, to int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(make([]byte, to-from), from)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// hurtRecord damages a record in the middle of a block of the active segment.
func hurtRecord(t *testing.T, path string) {
	t.Helper()
	n, _ := segmentNumber(filepath.Base(path))
	im, err := readFile(filepath.Dir(path), n, imageParts{state: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range im.blocks {
		if b := &im.blocks[i]; b.size > 2*pageSize {
			overwrite(t, path, b.offset+int64(b.size/2), b.offset+int64(b.size/2)+8)
			return
		}
	}
	t.Fatal("the active segment has no large block")
}
