package spoold_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An error's text reaches users, who do not know the packages. A panic's text is for whoever
// mends the program, and may name its package.
func TestErrorTextsCarryNoPackageName(t *testing.T) {
	prefix := regexp.MustCompile("^[\"`](bolt|loop|sender|conn|protocol|admin|spool|otel|codec|idempotence|accumulator|recovery|cluster|txn|spoold): ")
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (path == "integration" || path == ".cache" || path == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" {
					return false
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(f.Sel.Name, "Fprint") {
					return false // the program's own lines begin with its name
				}
			}
			if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && prefix.MatchString(s.Value) {
				t.Errorf("%s: %s: an error's text must not begin with a package's name", set.Position(s.Pos()), s.Value)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
