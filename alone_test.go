package spoold_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// alone is the Makefile's list of packages that make race leaves out. integration/sim is tested there in part.
var alone = regexp.MustCompile(`(?m)^ALONE = ((?:.*\\\n)*.*)$`)

// What the race detector does not see has nothing that it could find, in the code or in its tests.
func TestPackagesThatRaceLeavesOutStartNoGoroutine(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	list := alone.FindSubmatch(makefile)
	if list == nil {
		t.Fatal("the Makefile has no list ALONE")
	}
	dirs := strings.Fields(strings.ReplaceAll(string(list[1]), "\\\n", " "))
	if len(dirs) < len(pure) {
		t.Errorf("ALONE is %q: at least the pure packages are expected", dirs)
	}
	for _, v := range concurrent(os.DirFS("."), dirs) {
		t.Error(v)
	}
}

func TestPlantedGoroutinesAreFound(t *testing.T) {
	for want, source := range map[string]string{
		"go statement":    `package x; func f() { go f() }`,
		"t.Parallel":      `package x; func TestX(t *testing.T) { t.Parallel() }`,
		"wg.Go":           `package x; func f() { wg.Go(f) }`,
		"is not there":    "",
		"imports context": `package x; import _ "context"`,
	} {
		fsys := fstest.MapFS{}
		if source != "" {
			fsys["x/x_test.go"] = &fstest.MapFile{Data: []byte(source)}
		}
		if found := strings.Join(concurrent(fsys, []string{"x"}), "\n"); !strings.Contains(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
	}
}

// concurrent lists what in the files of dirs could run beside anything else.
func concurrent(fsys fs.FS, dirs []string) (found []string) {
	for _, dir := range dirs {
		files, err := fs.Glob(fsys, dir+"/*.go")
		if err != nil || len(files) == 0 {
			found = append(found, fmt.Sprintf("%s is not there (%v)", dir, err))
		}
		for _, name := range files {
			raw, err := fs.ReadFile(fsys, name)
			if err != nil {
				return append(found, err.Error())
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, raw, parser.SkipObjectResolution)
			if err != nil {
				return append(found, err.Error())
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if what := startsOne(n); what != "" {
					found = append(found, fmt.Sprintf("%v: %s: what the race detector is to see may not be in ALONE of the Makefile", set.Position(n.Pos()), what))
				}
				return true
			})
		}
	}
	return found
}

// startsOne says how a piece of a program starts a goroutine, or prepares for one; "" if it does not.
func startsOne(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "go statement"
	case *ast.ImportSpec:
		if target := importPath(n); target == "context" || target == "sync" || target == "testing/synctest" {
			return "imports " + target
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && (n.Sel.Name == "Parallel" || n.Sel.Name == "Go") {
			return x.Name + "." + n.Sel.Name
		}
	}
	return ""
}
