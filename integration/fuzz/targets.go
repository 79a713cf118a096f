package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// folder is a package with targets.
type folder struct {
	path    string // import path
	dir     string
	name    string // of the folder, from the root
	targets []string
	deps    int // packages that it depends on
}

// String is the folder's name for people: the module's at the root.
func (f *folder) String() string {
	if f.name == "." {
		return "spoold"
	}
	return f.name
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\)`)

// find lists the module's packages with targets that are wanted, those that depend on little first: they
// are compiled soon, and can be fuzzed while the others are.
func find(ctx context.Context, root string, wanted *regexp.Regexp) ([]*folder, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json=ImportPath,Dir,Deps,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fuzz: go list: %w%s", err, stderr(err))
	}
	var packages []*folder
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Dir                 string
			Deps, TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			slices.SortStableFunc(packages, func(a, b *folder) int { return cmp.Compare(a.deps, b.deps) })
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("fuzz: go list: %w", err)
		}
		name, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, fmt.Errorf("fuzz: %w", err)
		}
		f := &folder{path: p.ImportPath, dir: p.Dir, name: name, deps: len(p.Deps)}
		for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
			source, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, fmt.Errorf("fuzz: %w", err)
			}
			for _, m := range declaration.FindAllSubmatch(source, -1) {
				if target := string(m[1]); wanted.MatchString(f.String() + "." + target) {
					f.targets = append(f.targets, target)
				}
			}
		}
		if len(f.targets) > 0 {
			packages = append(packages, f)
		}
	}
}

func stderr(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
