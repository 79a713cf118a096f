package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold/integration/proof"
)

// corpus is where a package's committed inputs are, a folder for each target.
const corpus = "testdata/fuzz"

// inputs are the committed inputs of the target.
func (r *result) inputs() map[string]bool {
	found, _ := os.ReadDir(filepath.Join(r.folder.dir, corpus, r.target)) // none: no folder
	names := make(map[string]bool, len(found))
	for _, f := range found {
		names[f.Name()] = true
	}
	return names
}

// result is what became of one target.
type result struct {
	folder     *folder
	target     string
	executions int
	found      int // new interesting inputs
	took, cpu  time.Duration
	err        error
	output     string // without lines of progress
	input      string // in testdata/fuzz, the one that made it fail
}

var (
	progress = regexp.MustCompile(`^fuzz: elapsed: .*`)
	counts   = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+)`)
	// seed is a committed input that fails before anything is fuzzed.
	seed = regexp.MustCompile(`failure while testing seed corpus entry: \w+/(\S+)`)
)

// timeIsUp is how Go's fuzzer ends, now and then, when its time is up while an input runs: as a failure
// without an input.
const timeIsUp = "context deadline exceeded"

// errNothing: the time was over before the kept inputs were.
var errNothing = errors.New("nothing was executed: give it more time than its kept inputs take")

// read takes a target's output apart. fresh is an input that was not committed before, or "".
func (r *result) read(output, fresh string) {
	var left []string
	for line := range strings.Lines(output) {
		if m := counts.FindStringSubmatch(line); m != nil {
			r.executions, _ = strconv.Atoi(m[1])
			r.found, _ = strconv.Atoi(m[2])
		}
		if !progress.MatchString(line) {
			left = append(left, line)
		}
	}
	r.output = strings.Join(left, "")
	if m := seed.FindStringSubmatch(r.output); m != nil {
		fresh = m[1]
	}
	switch {
	case fresh != "":
		r.input = fresh
		if r.err == nil {
			r.err = fmt.Errorf("it wrote a failing input") // its time was up while it made that smaller
		}
	case r.err != nil && r.onlyTimeIsUp():
		r.err = nil
	}
	if r.err == nil && r.executions == 0 {
		r.err = errNothing
	}
}

func (r *result) onlyTimeIsUp() bool {
	up := false
	for line := range strings.Lines(r.output) {
		switch line = strings.TrimSpace(line); {
		case line == timeIsUp:
			up = true
		case line == "", line == "FAIL", strings.HasPrefix(line, "--- FAIL: "+r.target+" "), strings.HasPrefix(line, "exit status"):
		default:
			return false
		}
	}
	return up
}

func (r *result) failed() bool { return r.err != nil }

// String is a target's line.
func (r *result) String() string {
	verdict := "ok   "
	if r.failed() {
		verdict = "FAIL "
	}
	return fmt.Sprintf("%s %-8s %s.%s: %s executions, %d new interesting inputs", verdict, seconds(r.took), r.folder, r.target, proof.Thousands(r.executions), r.found)
}

// story is why a target failed, and how to see it again.
func (r *result) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s.%s failed: %v\n%s", r.folder, r.target, r.err, r.output)
	if r.input != "" {
		fmt.Fprintf(&b, "input:  %s\nreplay: go test -run '^%s$/^%s$' ./%s\n", filepath.Join(r.folder.name, corpus, r.target, r.input), r.target, r.input, r.folder.name)
	}
	b.WriteByte('\n')
	return b.String()
}

func executions(results []*result) int {
	n := 0
	for _, r := range results {
		n += r.executions
	}
	return n
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
