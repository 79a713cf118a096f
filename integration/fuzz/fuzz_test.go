package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/proof"
)

const running = `fuzz: elapsed: 0s, gathering baseline coverage: 0/3 completed
fuzz: elapsed: 0s, gathering baseline coverage: 3/3 completed, now fuzzing with 1 workers
fuzz: elapsed: 3s, execs: 94 (31/sec), new interesting: 1 (total: 4)
fuzz: elapsed: 5s, execs: 123456 (24691/sec), new interesting: 7 (total: 10)
`

// target stands in for a compiled test: a shell script that says and does what a fuzzer would.
func target(t *testing.T, script string) *result {
	t.Helper()
	dir := t.TempDir()
	s := &session{each: time.Second, temp: t.TempDir(), cache: t.TempDir()}
	r := &result{folder: &folder{path: "example.org/m/spool", dir: dir, name: "spool"}, target: "FuzzX"}
	if err := os.MkdirAll(filepath.Join(dir, corpus, "FuzzX"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, corpus, "FuzzX", "committed"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.binary(r.folder), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	s.fuzz(context.Background(), r)
	return r
}

func TestATargetThatRunsItsTimeIsCounted(t *testing.T) {
	r := target(t, "cat <<END\n"+running+"END\necho PASS")
	if r.failed() || r.executions != 123456 || r.found != 7 {
		t.Errorf("%v: %v", r, r.err)
	}
}

func TestATargetThatFailsNamesItsInputAndHowToRunItAgain(t *testing.T) {
	r := target(t, "cat <<END\n"+running+"END\necho '--- FAIL: FuzzX (0.06s)'\necho 'law broken'\ntouch testdata/fuzz/FuzzX/0a1b\nexit 1")
	story := r.story()
	for _, want := range []string{"law broken", "input:  spool/testdata/fuzz/FuzzX/0a1b", "go test -run '^FuzzX$/^0a1b$' ./spool"} {
		if !r.failed() || !strings.Contains(story, want) {
			t.Errorf("failed %v, and the story lacks %q:\n%s", r.failed(), want, story)
		}
	}
	if strings.Contains(story, "elapsed") {
		t.Errorf("progress in the story:\n%s", story)
	}
}

func TestACommittedInputThatFailsIsNamed(t *testing.T) {
	r := target(t, "echo 'failure while testing seed corpus entry: FuzzX/committed'\necho '--- FAIL: FuzzX (0.06s)'\nexit 1")
	if !strings.Contains(r.story(), "go test -run '^FuzzX$/^committed$' ./spool") {
		t.Error(r.story())
	}
}

// Go's fuzzer says so when its time is up while an input runs.
func TestATimeThatIsUpIsNoFailureUnlessAnInputFailed(t *testing.T) {
	up := "cat <<END\n" + running + "END\necho '--- FAIL: FuzzX (5.01s)'\necho '    context deadline exceeded'\necho FAIL\n"
	if r := target(t, up+"exit 1"); r.failed() {
		t.Errorf("its time was up: %v\n%s", r.err, r.story())
	}
	if r := target(t, up+"touch testdata/fuzz/FuzzX/half-minimized\nexit 1"); !r.failed() || r.input != "half-minimized" {
		t.Errorf("an input failed just before its time was up, and that is passed over: %v", r)
	}
	if r := target(t, up+"echo 'panic: no'\nexit 2"); !r.failed() {
		t.Error("a panic is taken for a time that is up")
	}
}

func TestATargetThatExecutesNothingFails(t *testing.T) {
	if r := target(t, "echo 'testing: warning: no fuzz tests to fuzz'\necho PASS"); !r.failed() {
		t.Error("nothing was run, and that is taken for success")
	}
	if r := target(t, "exit 3"); !r.failed() || !strings.Contains(r.story(), "exit status 3") {
		t.Error(r.story())
	}
}

// Its kept inputs took the time: it gets more.
func TestATargetWithoutTimeGetsMore(t *testing.T) {
	r := target(t, "echo \"$@\" | grep -q fuzztime=4s || { echo PASS; exit 0; }\ncat <<END\n"+running+"END\necho PASS")
	if r.failed() || r.executions != 123456 {
		t.Errorf("%v: %v", r, r.err)
	}
}

func TestAPackageThatDoesNotCompileFailsAllItsTargets(t *testing.T) {
	s := &session{temp: t.TempDir(), cache: t.TempDir()}
	f := &folder{path: "github.com/spoold/spoold/nowhere", dir: ".", name: "nowhere", targets: []string{"FuzzA", "FuzzB"}}
	for _, r := range s.all(context.Background(), []*folder{f}, 2) {
		if !r.failed() || !strings.Contains(r.story(), "nowhere") {
			t.Errorf("%v: %v", r, r.err)
		}
	}
}

// Every target has its law in its comment, and inputs that go test replays; no inputs are left of one that is gone.
func TestEveryTargetHasALawAndACommittedCorpus(t *testing.T) {
	root, err := proof.Root()
	if err != nil {
		t.Fatal(err)
	}
	packages, err := find(t.Context(), root, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	n, known := 0, map[string]bool{}
	for _, f := range packages {
		for _, name := range f.targets {
			n++
			dir := filepath.Join(f.dir, corpus, name)
			known[dir] = true
			if inputs, err := os.ReadDir(dir); err != nil || len(inputs) < 3 || len(inputs) > 60 {
				t.Errorf("%s.%s has %d committed inputs (%v), want a handful to a few dozen in %s", f.name, name, len(inputs), err, corpus)
			}
			if !law(t, f, name) {
				t.Errorf("%s.%s: its comment states no law", f.name, name)
			}
		}
		left, err := os.ReadDir(filepath.Join(f.dir, corpus))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, d := range left {
			if !known[filepath.Join(f.dir, corpus, d.Name())] {
				t.Errorf("%s has inputs of %s, which is not there any more", f.name, d.Name())
			}
		}
	}
	if n < 8 {
		t.Errorf("%d targets were found", n)
	}
}

// law reports whether a target's comment has a sentence that begins with "Law: ".
func law(t *testing.T, f *folder, name string) bool {
	files, err := filepath.Glob(filepath.Join(f.dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, _, found := strings.Cut(string(source), "\nfunc "+name+"(")
		if !found {
			continue
		}
		comment := before[strings.LastIndex(before, "\n\n")+1:]
		return strings.Contains(comment, "// Law: ")
	}
	return false
}
