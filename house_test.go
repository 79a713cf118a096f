package spoold_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// This file is what holds of every package, whatever its place in the house.

const (
	maxMethods = 40  // of a type, over all production files of its package; those of embedded types do not count
	maxLines   = 400 // of a file, tests included
)

func TestEveryPackageKeepsItsTypesAndFilesSmall(t *testing.T) {
	t.Parallel()
	for _, v := range tooLarge(os.DirFS(".")) {
		t.Error(v)
	}
}

func TestPlantedViolationsOfSizeAreCaught(t *testing.T) {
	methods := func(n int) string {
		var b strings.Builder
		b.WriteString("package spool\ntype T[K any] struct{}\ntype Part struct{}\nfunc (Part) M() {}\n")
		for i := range n {
			fmt.Fprintf(&b, "func (t *T[K]) M%d() {}\n", i)
		}
		return b.String()
	}
	lines := func(n int) string { return "package spool\n" + strings.Repeat("//\n", n-1) }
	tests := []struct{ name, source, want string }{ // want "": nothing is found
		{"as many methods as a type may have", methods(maxMethods), ""},
		{"one method too many", methods(maxMethods + 1), "type spool.T has 41 methods"},
		{"as many lines as a file may have", lines(maxLines), ""},
		{"one line too many", lines(maxLines + 1), "spool/x.go has 401 lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{"spool/x.go": {Data: []byte(tt.source)}}
			found := strings.Join(tooLarge(fsys), "\n")
			if tt.want == "" && found != "" || !strings.Contains(found, tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
	}
}

// tooLarge lists the types with too many methods and the files with too many lines.
func tooLarge(fsys fs.FS) []string {
	dirs, err := sources(fsys)
	if err != nil {
		return []string{err.Error()}
	}
	lines := make(map[string]int)
	methods := make(map[string]int)
	for dir, files := range dirs {
		seen := make(map[string]bool) // a method that is written once for each operating system counts once
		for _, name := range files {
			raw, err := fs.ReadFile(fsys, name)
			if err != nil {
				return []string{err.Error()}
			}
			lines[name] = bytes.Count(raw, []byte("\n"))
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, raw, parser.SkipObjectResolution)
			if err != nil {
				return []string{err.Error()}
			}
			for _, typ := range receivers(file, seen) {
				methods[strings.TrimPrefix(dir+"."+typ, "..")]++
			}
		}
	}
	found := over(methods, maxMethods, "type", "methods")
	return append(found, over(lines, maxLines, "file", "lines")...)
}

// receivers is the type of each method in file that is not in seen.
func receivers(file *ast.File, seen map[string]bool) (types []string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil {
			continue
		}
		expr := f.Recv.List[0].Type
		if star, ok := expr.(*ast.StarExpr); ok {
			expr = star.X
		}
		switch generic := expr.(type) {
		case *ast.IndexExpr:
			expr = generic.X
		case *ast.IndexListExpr:
			expr = generic.X
		}
		if id, ok := expr.(*ast.Ident); ok && !seen[id.Name+"."+f.Name.Name] {
			seen[id.Name+"."+f.Name.Name] = true
			types = append(types, id.Name)
		}
	}
	return types
}

// over compares counts with a limit.
func over(counts map[string]int, limit int, what, unit string) (found []string) {
	for name, n := range counts {
		if n > limit {
			found = append(found, fmt.Sprintf("%s %s has %d %s, and %d are allowed: split it by what its parts are responsible for", what, name, n, unit, limit))
		}
	}
	slices.Sort(found)
	return found
}

func TestEveryPackageOpensWithItsPromise(t *testing.T) {
	for _, v := range promises(os.DirFS(".")) {
		t.Error(v)
	}
}

func TestPackagesWithoutAPromiseAreCaught(t *testing.T) {
	for name, source := range map[string]string{
		"no doc.go":   "",
		"no promise":  "// Package spool keeps things.\npackage spool\n",
		"no document": "package spool\n",
	} {
		fsys := fstest.MapFS{"spool/x.go": {Data: []byte("package spool\n")}}
		if source != "" {
			fsys["spool/doc.go"] = &fstest.MapFile{Data: []byte(source)}
		}
		if len(promises(fsys)) == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
	good := fstest.MapFS{"spool/doc.go": {Data: []byte("// Package spool keeps things.\n//\n// Promise: all of them.\npackage spool\n")}}
	if found := promises(good); len(found) != 0 {
		t.Errorf("a package with a promise: found %q", found)
	}
}

var promise = regexp.MustCompile(`(?m)^(Promise: |# The promise$)`)

// promises lists packages whose doc.go is missing or promises nothing.
func promises(fsys fs.FS) []string {
	var found []string
	dirs, err := sources(fsys)
	if err != nil {
		return []string{err.Error()}
	}
	for dir, files := range dirs {
		if !slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") }) {
			continue // a folder of tests
		}
		raw, err := fs.ReadFile(fsys, path.Join(dir, "doc.go"))
		if err != nil {
			found = append(found, fmt.Sprintf("package %s has no doc.go that opens with its promise: %v", dir, err))
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), "doc.go", raw, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		if !promise.MatchString(file.Doc.Text()) {
			found = append(found, fmt.Sprintf("package %s: doc.go has no paragraph that begins with %q", dir, "Promise:"))
		}
	}
	slices.Sort(found)
	return found
}
