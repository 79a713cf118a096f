package follow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Without a free descriptor no directory can be listed: its files were taken for removed ones, and those that were not open had
// a gap reported. They are left as they are, and it is said once.
func TestAShortageOfDescriptorsRemovesNoFile(t *testing.T) {
	r := newRig(t, 1, "*.log")
	r.options.MaxOpen = 1
	want := []string{}
	for _, name := range []string{"a.log", "b.log", "c.log"} {
		r.write(name, name+" one\n"+name+" tw") // the end is seen, and not read yet
		want = append(want, name+" one", name+" two")
	}
	r.start()
	for range 10 {
		r.w.watch.scan = true
		r.pass()
	}
	r.events = nil
	var was syscall.Rlimit
	r.do(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	none := was
	none.Cur = 0
	r.do(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	for range 5 {
		r.clock = r.clock.Add(time.Second)
		r.w.watch.scan = true
		_, err := r.w.pass(t.Context(), new(bool))
		r.do(err)
		if !r.w.short {
			t.Error("the pass met no shortage")
		}
	}
	r.do(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	if len(r.events) != 1 || r.events[0].Kind != Failed || r.events[0].Path != r.dir {
		t.Errorf("reported %+v, want one fault of %s", r.events, r.dir)
	}
	for _, name := range []string{"a.log", "b.log", "c.log"} {
		r.write(name, "o\n")
	}
	r.settle()
	for _, e := range r.events {
		if e.Kind == Gap {
			t.Errorf("a gap: %+v", e)
		}
	}
	if got := slices.Sorted(slices.Values(r.store.values)); !reflect.DeepEqual(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	if len(r.w.unread) != 0 {
		t.Errorf("problems are left: %v", r.w.unread)
	}
}

// deny has directories refuse to be listed.
func (r *rig) deny(dirs ...string) {
	r.w.find.readDir = func(dir string) ([]fs.DirEntry, error) {
		if slices.Contains(dirs, dir) {
			return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.EACCES}
		}
		return os.ReadDir(dir)
	}
}

// look scans a few times, a second apart.
func (r *rig) look() {
	for range 5 {
		r.clock = r.clock.Add(10 * time.Second)
		r.w.watch.scan = true
		r.pass()
	}
}

// A directory that may not be listed was taken for an empty one. Nothing was said, and those of its files that were not open had a gap
// reported; where there were more than are remembered, positions were forgotten, and files were read twice.
func TestADirectoryWithoutRightsIsReportedAndItsFilesStay(t *testing.T) {
	r := newRig(t, 1, "d/*.log", "*/x/*.log")
	r.options.MaxOpen, r.options.Remember = 1, 1
	r.do(os.MkdirAll(r.path("d"), 0o700))
	r.do(os.MkdirAll(r.path("e/x"), 0o700))
	want := []string{"e one"}
	for _, name := range []string{"a", "b", "c"} {
		r.write("d/"+name+".log", name+" one\n"+name+" tw") // the end is seen, and not read yet
		want = append(want, name+" one", name+" two")
	}
	r.start()
	r.look()
	r.events = nil
	r.deny(r.path("d"))
	r.look()
	if s := r.w.Stats(); len(r.events) != 1 || r.events[0].Kind != Failed || r.events[0].Path != r.path("d") || s.Unreadable != 1 || !strings.Contains(s.Problem, "permission denied") {
		t.Errorf("reported %+v, and %+v; want one fault of %s", r.events, s, r.path("d"))
	}
	r.write("e/x/1.log", "e one\n") // others are followed meanwhile
	r.look()
	for _, name := range []string{"a", "b", "c"} {
		r.write("d/"+name+".log", "o\n")
	}
	r.deny()
	r.look()
	for _, e := range r.events {
		if e.Kind == Gap {
			t.Errorf("a gap: %+v", e)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(r.store.values)); !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	if s := r.w.Stats(); s.Unreadable != 0 || s.Problem != "" {
		t.Errorf("all can be read again, and the status says %+v", s)
	}
}

// A single run said that all was delivered, and had seen nothing.
func TestASingleRunFailsForADirectoryWithoutRights(t *testing.T) {
	for _, pattern := range []string{"d/*.log", "d", "*/*.log"} {
		r := newRig(t, 1, pattern)
		r.options.Once = true
		r.do(os.MkdirAll(r.path("d"), 0o700))
		r.write("d/a.log", "one\n")
		r.start()
		r.deny(r.path("d"))
		var file *FileError
		if err := r.w.Run(t.Context()); !errors.As(err, &file) || file.Path != r.path("d") || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: Run = %v, want a fault of %s", pattern, err, r.path("d"))
		}
	}
}

// A log whose directory could not be listed is followed for the first time when it can be: old rotated files are not read then.
func TestALogIsNotLookedForWhileItsDirectoryCannotBe(t *testing.T) {
	r := newRig(t, 1, "d/*.log")
	r.do(os.MkdirAll(r.path("d"), 0o700))
	r.write("d/a.log", "new\n")
	r.write("d/a.log.1", "old\n")
	r.start()
	r.deny(r.path("d"))
	r.look()
	r.deny()
	r.look()
	if want := []string{"new"}; !slices.Equal(r.store.values, want) {
		t.Errorf("records %q, want %q", r.store.values, want)
	}
}

// A file that cannot be read is no trouble any more once it is gone.
func TestAnUnreadableFileThatIsGoneIsForgotten(t *testing.T) {
	r := newRig(t, 1, "*.log")
	r.write("a.log", "one\n")
	r.start()
	r.w.fail(r.path("a.log"), syscall.EACCES)
	r.do(os.Remove(r.path("a.log")))
	r.look()
	if s := r.w.Stats(); s.Unreadable != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAPatternFindsWhatFilepathGlobFinds(t *testing.T) {
	r := newRig(t, 1, "*.log")
	for _, dir := range []string{"a", "b", "ab/c"} {
		r.do(os.MkdirAll(r.path(dir), 0o700))
	}
	for _, name := range []string{"a/1.log", "a/2.log", "b/1.log", "b/x", "ab/c/1.log", "1.log", "a/[.log"} {
		r.write(name, "x\n")
	}
	r.start()
	for _, pattern := range []string{"*", "*.log", "*/*.log", "a*/1.log", "?/1.log", "ab/*/*", "*/c/1.log", "none/*", "*/none", "a/1.log", "none", `a/\[.log`, `[ab]/1.log`, "1.log/*"} {
		want, err := filepath.Glob(r.path(pattern))
		r.do(err)
		if got := r.w.find.glob(r.path(pattern)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

// A single run does not end, or give a file up, for want of a descriptor.
func TestASingleRunWaitsForDescriptors(t *testing.T) {
	for _, pattern := range []string{"*.log", "a.log"} { // the directory, or the file itself, cannot be opened
		r := newRig(t, 1, pattern)
		r.write("a.log", "one\ntwo\n")
		var was syscall.Rlimit
		r.do(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
		none := was
		none.Cur = 0
		failed := 0
		r.options.Once, r.options.Single, r.options.Poll = true, pattern == "a.log", time.Millisecond
		r.options.Report = func(e Event) {
			if e.Kind == Failed {
				failed++
				r.do(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
			}
		}
		w, err := New(r.options, r.store)
		r.do(err)
		r.do(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
		err = w.Run(t.Context())
		r.do(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
		if want := []string{"one", "two"}; err != nil || failed != 1 || !slices.Equal(r.store.values, want) {
			t.Errorf("%s: Run = %v with %d faults and records %q, want %q after one", pattern, err, failed, r.store.values, want)
		}
	}
}

func TestAFileThatLacksADescriptorIsNotGivenUp(t *testing.T) {
	for _, tt := range []struct {
		err  error
		wait bool
	}{{syscall.EMFILE, true}, {syscall.EACCES, false}} {
		r := newRig(t, 1, "a.log")
		r.options.Once = true
		r.write("a.log", "one\n")
		r.start()
		r.w.watch.scan = true
		r.pass()
		for _, f := range r.w.files {
			if wait := r.w.unreadable(f, tt.err); wait != tt.wait || f.done == tt.wait || r.w.short != tt.wait {
				t.Errorf("%v: the log waits %v, the file is given up %v, a shortage %v", tt.err, wait, f.done, r.w.short)
			}
		}
		if len(r.w.files) != 1 {
			t.Errorf("%d files are followed", len(r.w.files))
		}
	}
}
