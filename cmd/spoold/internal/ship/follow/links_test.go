package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

// link makes links/app.log a symbolic link.
func (r *rig) link(target string) {
	r.t.Helper()
	r.do(os.MkdirAll(r.path("links"), 0o700))
	if err := os.Remove(r.path("links/app.log")); err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	r.do(os.Symlink(target, r.path("links/app.log")))
}

// said are the events of these kinds, in order.
func (r *rig) said(kinds ...EventKind) (said []EventKind) {
	for _, e := range r.events {
		if slices.Contains(kinds, e.Kind) {
			said = append(said, e.Kind)
		}
	}
	return said
}

// copyOff rotates app.log as logrotate's copytruncate does.
func (r *rig) copyOff(to string) {
	text, err := os.ReadFile(r.path("app.log"))
	r.do(err)
	r.do(os.WriteFile(r.path(to), text, 0o600))
	r.do(os.Truncate(r.path("app.log"), 0))
}

// Lines come between the last look and the truncation: the copy beside the target has them, also for a process that was killed meanwhile.
func TestACopyBesideALinksTargetIsReadOn(t *testing.T) {
	for _, killed := range []bool{false, true} {
		r := newRig(t, 1, "links/app.log")
		r.options.Record = func(l Line) spoold.Record {
			return spoold.Record{Topic: "t", Value: append(l.Value, " in "+strings.TrimPrefix(l.File, r.dir+"/")...)}
		}
		r.link("../app.log")
		var want []string
		r.start()
		for n := range 4 {
			for _, when := range []string{"seen", "unseen"} {
				r.write("app.log", fmt.Sprintf("%d %s\n", n, when))
				want = append(want, fmt.Sprintf("%d %s in links/app.log", n, when))
				if when == "seen" {
					r.settle()
				}
			}
			r.copyOff(fmt.Sprintf("app.log.%d", 9-n))
			if killed {
				r.start()
			}
			if n%2 == 0 {
				r.settle()
			}
		}
		r.settle()
		if !reflect.DeepEqual(r.store.values, want) {
			t.Errorf("killed %v: records %q, want %q", killed, r.store.values, want)
		}
		if gaps := r.said(Gap); len(gaps) > 0 {
			t.Errorf("killed %v: %d gaps, want none: %+v", killed, len(gaps), r.events)
		}
	}
}

// A spool of a version that did not look beside targets has read the lines of these files through the link.
func TestRotatedFilesBesideATargetAreNotReadAtFirstSight(t *testing.T) {
	r := newRig(t, 1, "links/app.log")
	r.link(r.path("app.log"))
	r.write("app.log", "one\n")
	r.write("app.log.1", "long ago\n")
	r.start()
	r.settle()
	for name := range r.store.notes { // what such a version leaves
		if strings.Contains(name, seenBehindPrefix) || strings.HasPrefix(string(r.store.notes[name]), "\x01\x02") {
			delete(r.store.notes, name)
		}
	}
	r.start()
	r.settle()
	r.write("app.log", "two\n")
	r.copyOff("app.log.2")
	r.write("app.log", "three\n")
	r.settle()
	if want := []string{"one", "two", "three"}; !reflect.DeepEqual(r.store.values, want) {
		t.Errorf("records %q, want %q", r.store.values, want)
	}
	r.do(os.Mkdir(r.path("other"), 0o700))
	r.write("other/app.log.1", "elsewhere, long ago\n")
	r.write("other/app.log", "four\n")
	r.link(r.path("other/app.log"))
	r.settle()
	if want := []string{"one", "two", "three", "four"}; !reflect.DeepEqual(r.store.values, want) {
		t.Errorf("records %q after the link led elsewhere, want %q", r.store.values, want)
	}
}

func TestATargetThatIsFollowedItselfIsReadOnce(t *testing.T) {
	r := newRig(t, 1, "links", "app.log")
	r.link("../app.log")
	r.write("app.log", "one\n")
	r.start()
	r.settle()
	r.write("app.log", "two\n")
	r.copyOff("app.log.1")
	r.write("app.log", "three\n")
	r.settle()
	if want := []string{"one", "two", "three"}; !reflect.DeepEqual(r.store.values, want) {
		t.Errorf("records %q, want %q", r.store.values, want)
	}
}

// A target that looks like a rotated file has other logs' files beside it, or those that the link led to before: copies are not looked
// for, and lines may be lost unseen each time it is truncated.
func TestATruncationIsAGapWhereNoCopyIsLookedFor(t *testing.T) {
	for target, want := range map[string]EventKind{"": Rotated, "real.data": Rotated, "data/real-20261130.log": Gap} {
		r := newRig(t, 1, "app.log")
		if target != "" {
			r.do(os.MkdirAll(filepath.Dir(r.path(target)), 0o700))
			r.do(os.Symlink(r.path(target), r.path("app.log")))
		} else {
			target = "app.log"
		}
		r.write(target, "one\n")
		r.start()
		r.settle()
		r.do(os.Truncate(r.path(target), 0))
		r.write(target, "2\n")
		for range 20 {
			r.clock = r.clock.Add(time.Second)
			r.w.watch.scan = true
			r.pass()
		}
		r.settle()
		if want := []string{"one", "2"}; !reflect.DeepEqual(r.store.values, want) {
			t.Errorf("%s: records %q, want %q", target, r.store.values, want)
		}
		if said := r.said(Gap, Rotated); len(said) != 1 || said[0] != want {
			t.Errorf("%s: reported %q, want %q once", target, said, want)
		}
	}
}

// On a host that runs containers, links come and go by the thousand.
func TestNotesOfLinksThatAreGoneAreBounded(t *testing.T) {
	r := newRig(t, 1, "links")
	r.start()
	l := &r.w.lookedFor
	for n := range 3 * maxFormer {
		r.w.o.behind = map[string]string{fmt.Sprint("/target/", n): fmt.Sprint("/link/", n)}
		l.seeBehind()
		if len(l.seenNotes) > maxFormer+2 || len(l.seen) > maxFormer+2 {
			t.Fatalf("%d notes after %d links", len(l.seenNotes), n+1)
		}
	}
	links := map[string]bool{r.path("links/app.log"): true}
	r.link("../app.log")
	for n := range 3 * maxFormer {
		r.w.find.findBehind([]string{r.path("links/app.log")}, links)
		if len(r.w.o.behind) > maxFormer+2 {
			t.Fatalf("%d targets are remembered", len(r.w.o.behind))
		}
		r.w.o.behind[fmt.Sprint("/target/", n)] = fmt.Sprint("/link/", n)
	}
}
