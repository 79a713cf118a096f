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
