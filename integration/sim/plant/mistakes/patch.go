package mistakes

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mistake is one of them.
type Mistake struct {
	Name  string
	What  string // it does
	Files []File
}

// File is a file of the product that a mistake changes.
type File struct {
	Path   string // from the repository's root
	Places []Place
}

// Place is some lines of a file, and those that stand there instead.
type Place struct{ Old, New []string }

//go:embed *.patch
var patches embed.FS

// All are all mistakes, by file and name.
func All() ([]Mistake, error) {
	entries, err := patches.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("mistakes: %w", err)
	}
	var all []Mistake
	for _, e := range entries {
		raw, err := patches.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("mistakes: %w", err)
		}
		m, err := Parse(strings.TrimSuffix(e.Name(), ".patch"), string(raw))
		if err != nil {
			return nil, err
		}
		all = append(all, *m)
	}
	slices.SortStableFunc(all, func(a, b Mistake) int {
		return cmp.Compare(filepath.Dir(a.Files[0].Path), filepath.Dir(b.Files[0].Path))
	})
	return all, nil
}

// Parse reads a patch.
func Parse(name, text string) (*Mistake, error) {
	what, rest, _ := strings.Cut(text, "\n\n")
	m := &Mistake{Name: name, What: strings.ReplaceAll(what, "\n", " ")}
	var p *Place
	for i, line := range strings.Split(strings.TrimRight(rest, "\n"), "\n") {
		path, file := strings.CutPrefix(line, "--- ")
		switch {
		case file:
			m.Files = append(m.Files, File{Path: path, Places: []Place{{}}})
		case len(m.Files) == 0:
			return nil, fmt.Errorf("mistakes: %s.patch, line %d behind the description: %q where \"--- PATH\" is due", name, i+1, line)
		case line == "@@":
			f := &m.Files[len(m.Files)-1]
			f.Places = append(f.Places, Place{})
		}
		if file || line == "@@" {
			f := &m.Files[len(m.Files)-1]
			p = &f.Places[len(f.Places)-1]
			continue
		}
		sign, code := line[:min(1, len(line))], strings.TrimPrefix(line, line[:min(1, len(line))])
		switch sign {
		case "-":
			p.Old = append(p.Old, code)
		case "+":
			p.New = append(p.New, code)
		case " ", "":
			p.Old, p.New = append(p.Old, code), append(p.New, code)
		default:
			return nil, fmt.Errorf("mistakes: %s.patch, line %d behind the description: %q begins with neither \"-\", \"+\" nor a blank", name, i+1, line)
		}
	}
	return m, m.check()
}

func (m *Mistake) check() error {
	if m.What == "" || len(m.Files) == 0 {
		return fmt.Errorf("mistakes: %s.patch needs a description, an empty line and \"--- PATH\"", m.Name)
	}
	for i := range m.Files {
		for _, p := range m.Files[i].Places {
			if len(p.Old) == 0 || slices.Equal(p.Old, p.New) {
				return fmt.Errorf("mistakes: %s.patch: a place in %s without lines that are there now, or without a change", m.Name, m.Files[i].Path)
			}
		}
	}
	return nil
}

// OnFiles reports whether the mistake is in spool/bolt alone: no host that has a model of it instead can make it.
func (m *Mistake) OnFiles() bool {
	return !slices.ContainsFunc(m.Files, func(f File) bool { return filepath.Dir(f.Path) != "spool/bolt" })
}

// Transactions reports whether the mistake is looked for in histories of hosts with a transactional id, and in no others.
func (m *Mistake) Transactions() bool { return strings.HasPrefix(m.Name, "txn-") }

// Apply makes the mistake in the source of f.
func (f *File) Apply(source string) (string, error) {
	lines := strings.Split(source, "\n")
	for i := range f.Places {
		p := &f.Places[i]
		at, err := p.find(lines)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Path, err)
		}
		lines = slices.Replace(lines, at, at+len(p.Old), p.New...)
	}
	return strings.Join(lines, "\n"), nil
}

func (p *Place) find(lines []string) (at int, err error) {
	at = -1
	for i := range len(lines) - len(p.Old) + 1 {
		same := slices.EqualFunc(lines[i:i+len(p.Old)], p.Old, func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) })
		if same && at >= 0 {
			return 0, fmt.Errorf("lines %d and %d both begin with what a patch changes; give it more lines that say the place:\n%s", at+1, i+1, strings.Join(p.Old, "\n"))
		}
		if same {
			at = i
		}
	}
	if at < 0 {
		return 0, errors.New("the code has changed, and a patch does not fit it any more; make it the same mistake in today's code. These lines are not there:\n" + strings.Join(p.Old, "\n"))
	}
	return at, nil
}

// Source gives the changed source of each file, by its path. root is the repository's.
func (m *Mistake) Source(root string) (map[string]string, error) {
	out := map[string]string{}
	for i := range m.Files {
		f := &m.Files[i]
		raw, err := os.ReadFile(filepath.Join(root, f.Path))
		if err != nil {
			return nil, fmt.Errorf("mistakes: %s.patch: %w", m.Name, err)
		}
		if out[f.Path], err = f.Apply(string(raw)); err != nil {
			return nil, fmt.Errorf("integration/sim/plant/mistakes/%s.patch: %w", m.Name, err)
		}
	}
	return out, nil
}

// Overlay writes the changed files into dir, and what go build -overlay wants to know of them; it gives the path of that.
func (m *Mistake) Overlay(root, dir string) (string, error) {
	sources, err := m.Source(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for path, text := range sources {
		changed := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("mistakes: %w", err)
		}
		replace[filepath.Join(root, path)] = changed
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("mistakes: %w", err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		return "", fmt.Errorf("mistakes: %w", err)
	}
	return overlay, nil
}
