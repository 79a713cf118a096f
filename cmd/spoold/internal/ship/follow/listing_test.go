package follow

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	if len(r.w.problems) != 0 {
		t.Errorf("problems are left: %v", r.w.problems)
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
