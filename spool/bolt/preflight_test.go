package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/spoold/spoold/spool"
)

// What Preflight says is what Open says, and it leaves every file as it is.
func TestPreflightRefusesWhatOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, o *Options)
		want  func(error) bool
	}{
		"as it was left": {func(*testing.T, *Options) {}, func(err error) bool { return err == nil }},
		"copied": {func(t *testing.T, o *Options) {
			to := t.TempDir()
			if err := os.CopyFS(filepath.Join(to, "copy"), os.DirFS(o.Path)); err != nil {
				t.Fatal(err)
			}
			o.Path = filepath.Join(to, "copy")
		}, func(err error) bool { return errors.Is(err, ErrForeign) }},
		"damaged": {func(t *testing.T, o *Options) {
			f, err := os.OpenFile(segmentPath(o.Path, 1), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			junk := make([]byte, 4*pageSize)
			for i := range junk {
				junk[i] = 0xa5
			}
			if _, err = f.WriteAt(junk, 0); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		}, func(err error) bool {
			var damage *spool.CorruptError
			return errors.As(err, &damage) && damage.Path != ""
		}},
		"more to be left free than there is": {func(_ *testing.T, o *Options) { o.MinFreeBytes = 1 << 60 }, func(err error) bool {
			return errors.Is(err, ErrTooSmall) && errors.Is(err, ErrFull)
		}},
		"none yet, and no room": {func(t *testing.T, o *Options) {
			o.Path, o.MinFreeBytes = filepath.Join(t.TempDir(), "a", "b"), 1<<60
		}, func(err error) bool { return errors.Is(err, ErrTooSmall) }},
		"none yet": {func(t *testing.T, o *Options) { o.Path = filepath.Join(t.TempDir(), "a", "b") }, func(err error) bool { return err == nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Path: filepath.Join(t.TempDir(), "spool"), MinFreeBytes: -1}
			s, _, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := Preflight(o); !isLocked(err) {
				t.Errorf("while it is open: %v", err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, &o)
			before, _ := os.ReadDir(o.Path)
			got := Preflight(o)
			if !tt.want(got) {
				t.Errorf("Preflight: %v", got)
			}
			if after, _ := os.ReadDir(o.Path); len(after) != len(before) {
				t.Errorf("it left %d files of %d", len(after), len(before))
			}
			s, _, err = Open(o)
			if !tt.want(err) {
				t.Errorf("Open: %v", err)
			}
			if err == nil {
				err = s.Close(t.Context())
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func isLocked(err error) bool {
	var locked *LockedError
	return errors.As(err, &locked)
}
