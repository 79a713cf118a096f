package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const eventsIntro = `# Lines of the log

Each line is about one event, with a name in ` + "`event`" + ` and keys that keep their names. JSON is written where the log is no terminal (` + "`log.format`" + `); every line has ` + "`time`, `level` and `msg`" + ` besides.
A line that says what the last one of its subject said is held back for a minute, and so is one whose reason was given already while the state is the same, as where two brokers cannot be reached for different
reasons in turn: ` + "`suppressed`" + ` counts those, and ` + "`suppressed_records`" + ` their records. A subject is what is in one state at a time: the link, a topic's quota, a file. What names lost bytes or
records (` + "`file.gap`, `line.too-long`, `line.split`, `segment.damaged`" + `), what answers a signal, and lines at DEBUG are never held back. The last state of a subject is always written, at the latest when the program ends.
This page is made of the code (` + "`go test ./cmd/spoold -run Reference -update`" + `). Files that are followed have events of their own, ` + "`file.*`" + `: [ship.md](ship.md).

| event | level | says | keys |
|---|---|---|---|
`

// logged is an event as the code writes it.
type logged struct {
	name, level, says string
	keys              []string
}

func TestReferenceOfEventsIsMadeOfTheCode(t *testing.T) {
	root := filepath.Join("..", "..")
	var all []logged
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{"integration", "bin", "deploy", "schemaregistry", "docs"}, rel) || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte(`"event", "`)) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			return err
		}
		all = append(all, eventsOf(file)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b logged) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.level, b.level))
	})
	var page bytes.Buffer
	page.WriteString(eventsIntro)
	seen := map[string]bool{}
	for _, e := range all {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", e.name, strings.ToUpper(e.level), cmp.Or(cell(e.says), "…"), strings.Join(e.keys, ", "))
		if !seen[row] {
			page.WriteString(row)
		}
		seen[row] = true
		if e.level == "" {
			t.Errorf("event %s is written in a way that this test does not understand: call a method of slog.Logger with its name", e.name)
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d events were found", len(seen))
	}
	golden(t, "events.md", page.Bytes())
}

// eventsOf finds calls that log, by the argument "event" and the name behind it.
func eventsOf(file *ast.File) (found []logged) {
	var above []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		above = append(above, n)
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		for i := range len(call.Args) - 1 {
			if name := text(call.Args[i+1]); text(call.Args[i]) == "event" && name != "" {
				e := logged{name: name, keys: keysOf(call.Args[i+2:])}
				e.level, e.says = levelOf(above)
				found = append(found, e)
			}
		}
		return true
	})
	return found
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}

func keysOf(args []ast.Expr) (keys []string) {
	for i := 0; i < len(args); i += 2 {
		if key := text(args[i]); key != "" {
			keys = append(keys, "`"+key+"`")
		}
	}
	return keys
}

// levelOf is the level and the message of the innermost call that logs.
func levelOf(above []ast.Node) (level, says string) {
	for _, n := range slices.Backward(above) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			continue
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		switch name := method.Sel.Name; name {
		case "Debug", "Info", "Warn", "Error":
			return name, text(call.Args[0])
		case "line":
			return strings.TrimPrefix(call.Args[0].(*ast.SelectorExpr).Sel.Name, "Level"), text(call.Args[1])
		case "Log":
			return "Info or Error", text(call.Args[2])
		}
	}
	return "", ""
}
