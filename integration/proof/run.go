package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Run is one run of one rig. What is zero is left out of the page.
type Run struct {
	Name       string         `json:"name"`  // of the file; a later run of the same name replaces it
	Title      string         `json:"title"` // what was run, as a heading
	What       string         `json:"what"`  // against what, and what would have been a violation: a few sentences
	Command    string         `json:"command"`
	Commit     string         `json:"commit"`
	Began      time.Time      `json:"began"`
	Seconds    float64        `json:"seconds"`
	Cores      int            `json:"cores"`
	Numbers    []Number       `json:"numbers"` // in the order of the page
	Faults     map[string]int `json:"faults"`  // injected, by kind
	Violations int            `json:"violations"`
	Notes      []string       `json:"notes,omitempty"`
	NotCovered []string       `json:"not_covered,omitempty"`
}

// Number is one figure of a run.
type Number struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Begin begins a run now. command repeats it.
func Begin(name, title, command string) *Run {
	return &Run{Name: name, Title: title, Command: command, Commit: commit(), Began: time.Now().UTC(), Cores: runtime.NumCPU(), Faults: map[string]int{}}
}

// Count adds a figure.
func (r *Run) Count(name string, n int) { r.Say(name, Thousands(n)) }

// Say adds a figure that is no whole number.
func (r *Run) Say(name, value string) { r.Numbers = append(r.Numbers, Number{name, value}) }

// Inject counts n faults of a kind.
func (r *Run) Inject(kind string, n int) {
	if n > 0 {
		r.Faults[kind] += n
	}
}

// Wanted reports whether runs are to be kept: PROOF=1.
func Wanted() bool { return os.Getenv("PROOF") == "1" }

// Save ends the run, writes its file and the page, if that is wanted. root is the repository's.
func (r *Run) Save(root string) error {
	r.Seconds = time.Since(r.Began).Seconds()
	if !Wanted() {
		return nil
	}
	dir := filepath.Join(root, "docs", "proof")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, r.Name+".json"), append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	return WritePage(root)
}

// Keep is Save in the repository that the run was started in.
func (r *Run) Keep() error {
	root, err := Root()
	if err != nil {
		return err
	}
	return r.Save(root)
}

// Setting is a number that a longer run has in the environment; a value that is none ends the test t.
func Setting(t interface{ Fatalf(string, ...any) }, name string, unset uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return unset
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Load reads the runs that are kept, by name.
func Load(root string) ([]*Run, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "proof", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	slices.Sort(paths)
	var runs []*Run
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
		r := new(Run)
		if err := json.Unmarshal(raw, r); err != nil {
			return nil, fmt.Errorf("proof: %s: %w", path, err)
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// WritePage makes docs/proof/README.md of the files in docs/proof.
func WritePage(root string) error {
	runs, err := Load(root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "proof", "README.md"), Page(runs), 0o644); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	return nil
}

// commit is the commit that runs; "-dirty" behind it if the tree differs from it outside of docs.
func commit() string {
	out, err := exec.CommandContext(context.Background(), "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	id := strings.TrimSpace(string(out))
	// ":/" is the top of the tree, wherever this runs.
	if out, err := exec.CommandContext(context.Background(), "git", "status", "--porcelain", "--", ":/", ":(exclude,top)docs").Output(); err != nil || len(out) > 0 {
		id += "-dirty"
	}
	return id
}

// Root is the folder with spoold's go.mod, at or above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("proof: working directory: %w", err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("proof: repository root: %w", err)
		}
		if line, _, _ := strings.Cut(string(mod), "\n"); line == "module github.com/spoold/spoold" {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("proof: no go.mod of spoold at or above the working directory: run from inside the repository")
		}
		dir = parent
	}
}
