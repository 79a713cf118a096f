package spoold_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// This file is the house (ARCHITECTURE.md, "The house") as a test. A new package or a new
// edge is added here first, where it can be argued about.

const module = "github.com/spoold/spoold"

// edges: which packages of ours a package may import. "." is the root package.
// Imports point down; none within a level, but from a parent's child to the parent.
var edges = map[string][]string{
	"protocol": {},
	// Mistakes that can be chosen, with a build tag, to see whether tests find them.
	// Holds repeated log lines back, for the root and the command.
	"internal/quietlog": {},
	"protocol/codec":    {"protocol"},
	"protocol/conn":     {"protocol", "protocol/codec"},
	"spool":             {"protocol"},
	"spool/bolt":        {"protocol", "spool", "internal/shortage"},
	"sender/cluster":    {"protocol"},
	"accumulator":       {"protocol", "spool"},
	"recovery":          {"protocol", "spool"},
	// The two ways to deliver exactly once: neither looks at the other, or at the cluster.
	"idempotence": {"protocol", "spool", "accumulator", "recovery"},
	"txn":         {"protocol", "spool", "accumulator", "recovery"},
	"sender":      {"protocol", "spool", "sender/cluster", "accumulator", "recovery", "idempotence", "txn"},
	// Delivery under a transactional id: sender's counterpart, with the same calls and effects.
	"sender/transaction": {"protocol", "spool", "accumulator", "txn", "sender", "sender/cluster"},
	"sender/loop":        {"protocol", "protocol/codec", "protocol/conn", "spool", "spool/bolt", "accumulator", "sender"},
	"internal/probe":     {"protocol", "protocol/conn"},
	".":                  {"internal/keytable", "internal/probe", "internal/quietlog", "protocol", "protocol/codec", "protocol/conn", "protocol/conn/secure", "spool", "spool/bolt", "sender", "sender/loop", "sender/transaction", "txn"},
	"otel":               {"."},
	"cmd/spoold":         {".", "internal/keytable", "internal/quietlog", "otel", "spool", "spool/bolt", "cmd/spoold/internal/…"},
	// Reads configuration keys by a table, for the root and the command.
	"internal/keytable": {},
	"internal/shortage": {},
	// Certificates and credentials.
	"protocol/conn/secure": {"protocol", "protocol/conn"},
	// Ways in and what serves them do not know each other: the command wires them, and
	// so does the demo, which is a command with its own broker, link and child.
	"cmd/spoold/internal/accept":    {"internal/shortage"},
	"cmd/spoold/internal/access":    {"internal/keytable"},
	"cmd/spoold/internal/admin":     {"."},
	"cmd/spoold/internal/demo":      {".", "cmd/spoold/internal/admin", "cmd/spoold/internal/devbroker", "cmd/spoold/internal/link"},
	"cmd/spoold/internal/devbroker": {"cmd/spoold/producers"},
	"cmd/spoold/internal/httpin":    {"."},
	"cmd/spoold/internal/link":      {},
	"cmd/spoold/internal/doctor":    {"."},
	"cmd/spoold/internal/bench":     {"."},
	"cmd/spoold/internal/support":   {"cmd/spoold/internal/newfile"},
	"cmd/spoold/internal/newfile":   {},
	"cmd/spoold/internal/page":      {"."},
	"cmd/spoold/internal/service":   {},
	// What decides about files, and what reads them.
	"cmd/spoold/internal/ship":        {},
	"cmd/spoold/internal/ship/follow": {".", "internal/shortage", "cmd/spoold/internal/ship"},
	// Not internal, because tests of the root package need it for their broker, too.
	"cmd/spoold/producers": {"protocol", "protocol/conn"},
	// What tests are made of may look at everything, and nothing of the product looks at it.
	"integration/…": {".", "…"},
	// What judges a run, and what it runs against, share nothing with what is judged but names and codes.
	"integration/sim/agenda": {},
	"integration/sim/check":  {},
	"integration/sim/raw":    {},
	"integration/sim/broker": {"protocol", "integration/sim/raw"},
}

// pure packages have no socket, file, clock, goroutine, channel or lock: they are
// stepped by hand, scripted and simulated.
var pure = []string{"protocol", "idempotence", "txn", "spool", "accumulator", "recovery", "sender", "sender/cluster", "sender/transaction", "cmd/spoold/internal/ship"}

// pureImports is what a pure package may import besides pure packages of ours.
var pureImports = []string{
	"bytes", "cmp", "container/heap", "container/list", "encoding/base64", "encoding/binary", "encoding/hex", "errors", "fmt",
	"hash", "hash/crc32", "io", "iter", "maps", "math", "math/bits", "math/rand/v2", "path", "slices", "sort", "strconv", "strings",
	"unicode", "unicode/utf8",
	"github.com/twmb/franz-go/pkg/kmsg", // messages as plain structs: no locks, no goroutines, no dependencies
}

// owners: who alone may import a library.
var owners = []struct {
	prefix string
	by     []string
}{
	{"go.etcd.io/bbolt", []string{"spool/bolt"}},
	{"go.opentelemetry.io/", []string{"otel", "cmd/spoold/…"}},
	{"google.golang.org/grpc", []string{"otel"}},
	{"github.com/prometheus/", []string{"otel", "cmd/spoold/…"}},
	{"github.com/urfave/cli/", []string{"cmd/spoold"}},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"cmd/spoold/…", "integration/…"}},
	{"github.com/twmb/franz-go/pkg/kgo", []string{"cmd/spoold/…", "integration/…"}},
	{"github.com/twmb/franz-go/pkg/kadm", []string{"cmd/spoold/…", "integration/…"}},
	{"github.com/twmb/franz-go/pkg/sasl", []string{"protocol/conn/secure", "integration/…"}},
	{"golang.org/x/crypto/bcrypt", []string{"cmd/spoold/internal/access"}},
	{"golang.org/x/oauth2", []string{"protocol/conn/secure"}},
	{"github.com/hanwen/go-fuse/", []string{"integration/lossy"}},
}

// banned names in pure packages, by import path. "math/rand/v2" is fine with a seed.
var banned = map[string]func(name string) bool{
	"math/rand/v2": func(name string) bool {
		return !slices.Contains([]string{"New", "NewPCG", "NewChaCha8", "Rand", "PCG", "ChaCha8", "Source"}, name)
	},
	"fmt": func(name string) bool {
		return strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Scan")
	},
}

func TestImportsPointDownAndPureCodeStaysPure(t *testing.T) {
	t.Parallel()
	for _, v := range inspect(os.DirFS(".")) {
		t.Error(v)
	}
}

// A rule that catches nothing is no rule: each of these must be found.
func TestPlantedViolationsAreCaught(t *testing.T) {
	tests := []struct {
		name, file, source, want string
	}{
		{"an import that points up", "protocol/x.go", `package protocol; import _ "github.com/spoold/spoold/spool"`, "may not import spool"},
		{"one partition looking at the cluster", "idempotence/x.go", `package idempotence; import _ "github.com/spoold/spoold/sender/cluster"`, "may not import sender/cluster"},
		{"queues looking at the cluster", "accumulator/x.go", `package accumulator; import _ "github.com/spoold/spoold/sender/cluster"`, "may not import sender/cluster"},
		{"recovery looking at the cluster", "recovery/x.go", `package recovery; import _ "github.com/spoold/spoold/sender/cluster"`, "may not import sender/cluster"},
		{"recovery looking at queues", "recovery/x.go", `package recovery; import _ "github.com/spoold/spoold/accumulator"`, "may not import accumulator"},
		{"recovery looking at the machine", "recovery/x.go", `package recovery; import _ "github.com/spoold/spoold/idempotence"`, "may not import idempotence"},
		{"queues looking at the machine", "accumulator/x.go", `package accumulator; import _ "github.com/spoold/spoold/idempotence"`, "may not import idempotence"},
		{"one way to deliver looking at the other", "txn/x.go", `package txn; import _ "github.com/spoold/spoold/idempotence"`, "may not import idempotence"},
		{"transactions looking at the cluster", "txn/x.go", `package txn; import _ "github.com/spoold/spoold/sender/cluster"`, "may not import sender/cluster"},
		{"the spool looking at queues", "spool/x.go", `package spool; import _ "github.com/spoold/spoold/accumulator"`, "may not import accumulator"},
		{"the cluster looking at the spool", "sender/cluster/x.go", `package cluster; import _ "github.com/spoold/spoold/spool"`, "may not import spool"},
		{"an import within a level", "spool/bolt/x.go", `package bolt; import _ "github.com/spoold/spoold/protocol/conn"`, "may not import protocol/conn"},
		{"a way in that knows another", "cmd/spoold/internal/httpin/x.go", `package httpin; import _ "github.com/spoold/spoold/cmd/spoold/internal/admin"`, "may not import cmd/spoold/internal/admin"},
		{"the product looking at test code", "sender/loop/x.go", `package loop; import _ "github.com/spoold/spoold/integration/link"`, "may not import integration/link"},
		{"the root importing the command", "x.go", `package spoold; import _ "github.com/spoold/spoold/otel"`, "may not import otel"},
		{"a package nobody placed", "helpers/x.go", `package helpers`, "is not in the house"},
		{"bbolt outside its package", "sender/loop/x.go", `package loop; import _ "go.etcd.io/bbolt"`, "only spool/bolt may import"},
		{"OpenTelemetry in the core", "sender/loop/x.go", `package loop; import _ "go.opentelemetry.io/otel/metric"`, "only otel, cmd/spoold/… may import"},
		{"the command line in the root", "x.go", `package spoold; import _ "github.com/urfave/cli/v2"`, "only cmd/spoold may import"},
		{"another client in the product", "sender/loop/x.go", `package loop; import _ "github.com/twmb/franz-go/pkg/kgo"`, "may import"},
		{"a file system of our own in the product", "spool/bolt/x.go", `package bolt; import _ "github.com/hanwen/go-fuse/v2/fuse"`, "only integration/lossy may import"},
		{"a file in pure code", "spool/x.go", `package spool; import _ "os"`, "is pure and may not import os"},
		{"a socket in pure code", "protocol/x.go", `package protocol; import _ "net"`, "is pure and may not import net"},
		{"a lock in pure code", "accumulator/x.go", `package accumulator; import _ "sync"`, "is pure and may not import sync"},
		{"a context in pure code", "sender/x.go", `package sender; import _ "context"`, "is pure and may not import context"},
		{"a clock in pure code", "recovery/x.go", `package recovery; import "time"; var _ = time.Now()`, "is pure and may not import time"},
		{"impurity through an impure child", "sender/x.go", `package sender; import _ "github.com/spoold/spoold/protocol/conn"`, "may not import protocol/conn"},
		{"a goroutine in pure code", "sender/x.go", `package sender; func f() { go f() }`, "go statement"},
		{"a select in pure code", "sender/x.go", `package sender; func f() { select {} }`, "select statement"},
		{"a channel type in pure code", "spool/x.go", `package spool; type c chan int`, "channel type"},
		{"a send in pure code", "spool/x.go", `package spool; func f() { x.y <- 1 }`, "channel send"},
		{"a receive in pure code", "spool/x.go", `package spool; func f() { <-x.y }`, "channel receive"},
		{"dice without a seed in pure code", "sender/x.go", `package sender; import "math/rand/v2"; var _ = rand.IntN(3)`, "rand.IntN"},
		{"the same under another name", "sender/x.go", `package sender; import dice "math/rand/v2"; var _ = dice.IntN(3)`, "rand.IntN"},
		{"a dot import in pure code", "sender/x.go", `package sender; import . "math/rand/v2"; var _ = IntN(3)`, "dot import"},
		{"output in pure code", "sender/x.go", `package sender; import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		{"a simulated fault in the product", "x.go", `package spoold; import "github.com/spoold/spoold/spool/bolt"; var _ = bolt.Options{Faults: nil}`, "bolt.Faults"},
		{"the product in what judges it", "integration/sim/check/x.go", `package check; import _ "github.com/spoold/spoold/spool"`, "may not import spool"},
		{"our client in the model of Kafka", "integration/sim/broker/x.go", `package broker; import _ "github.com/spoold/spoold/sender"`, "may not import sender"},
		{"a way around the compiler in pure code", "sender/x.go", "package sender\n\n//go:linkname now time.now\nfunc now() int64\n", "go:linkname"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := inspect(fstest.MapFS{tt.file: {Data: []byte(tt.source)}})
			for _, v := range found {
				if strings.Contains(v, tt.want) && strings.Contains(v, path.Dir(tt.file)) {
					return
				}
			}
			t.Errorf("%s is not caught: found %q, want one that says %q", tt.name, found, tt.want)
		})
	}
}

// inspect lists what breaks the rules. Tests may import what they need.
func inspect(fsys fs.FS) []string {
	var found []string
	dirs, err := sources(fsys)
	if err != nil {
		return []string{err.Error()}
	}
	for dir, files := range dirs {
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			raw, err := fs.ReadFile(fsys, name)
			if err != nil {
				return append(found, err.Error())
			}
			file, err := parser.ParseFile(fset, name, raw, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return append(found, err.Error())
			}
			report := func(at token.Pos, format string, args ...any) {
				found = append(found, fmt.Sprintf("%s: package %s %s", fset.Position(at), dir, fmt.Sprintf(format, args...)))
			}
			allowed, placed := lookUp(edges, dir)
			if !placed {
				report(file.Package, "is not in the house: give it a place in edges, deps_test.go")
			}
			checkImports(dir, file, allowed, report)
			checkFaults(dir, file, report)
			if slices.Contains(pure, dir) {
				checkPurity(file, report)
			}
		}
	}
	slices.Sort(found)
	return found
}

type reporter func(at token.Pos, format string, args ...any)

func checkImports(dir string, file *ast.File, allowed []string, report reporter) {
	for _, spec := range file.Imports {
		target := importPath(spec)
		own, isOwn := ours(target)
		switch {
		case isOwn && !matches(allowed, own):
			report(spec.Pos(), "may not import %s", own)
		case isOwn && slices.Contains(pure, dir) && !slices.Contains(pure, own):
			report(spec.Pos(), "is pure and may not import %s, which is not", own)
		case !isOwn && slices.Contains(pure, dir) && !slices.Contains(pureImports, target):
			report(spec.Pos(), "is pure and may not import %s", target)
		}
		for _, o := range owners {
			if strings.HasPrefix(target, o.prefix) && !matches(o.by, dir) {
				report(spec.Pos(), "imports %s, which only %s may import", target, strings.Join(o.by, ", "))
			}
		}
	}
}

// checkFaults: what a simulation puts under a Store has no place in the product.
func checkFaults(dir string, file *ast.File, report reporter) {
	if dir == "spool/bolt" || strings.HasPrefix(dir, "integration/") {
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "Faults" {
			report(id.Pos(), "speaks of bolt.Faults, which tests and simulations alone may set")
		}
		return true
	})
}

func checkPurity(file *ast.File, report reporter) {
	names := make(map[string]string) // local name → import path
	for _, spec := range file.Imports {
		target := importPath(spec)
		switch {
		case spec.Name == nil:
			names[baseName(target)] = target
		case spec.Name.Name == ".":
			report(spec.Pos(), "is pure and hides names behind a dot import of %s", target)
		default:
			names[spec.Name.Name] = target
		}
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:linkname") {
				report(c.Pos(), "is pure and has a go:linkname")
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n.Pos(), "is pure and has a go statement")
		case *ast.SelectStmt:
			report(n.Pos(), "is pure and has a select statement")
		case *ast.ChanType:
			report(n.Pos(), "is pure and has a channel type")
		case *ast.SendStmt:
			report(n.Pos(), "is pure and has a channel send")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				report(n.Pos(), "is pure and has a channel receive")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				if refuse := banned[names[x.Name]]; refuse != nil && refuse(n.Sel.Name) {
					report(n.Pos(), "is pure and calls %s.%s", baseName(names[x.Name]), n.Sel.Name)
				}
			}
		}
		return true
	})
}

// sources is every folder with Go files of this module, and the files.
func sources(fsys fs.FS) (map[string][]string, error) {
	dirs := make(map[string][]string)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() && name != "." {
			if base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
		}
		if !d.IsDir() && strings.HasSuffix(base, ".go") {
			dirs[path.Dir(name)] = append(dirs[path.Dir(name)], name)
		}
		return nil
	})
	return dirs, err
}

// lookUp finds the row of a package, or of the folder above it that ends in "/…".
func lookUp(rows map[string][]string, dir string) ([]string, bool) {
	if row, ok := rows[dir]; ok {
		return row, true
	}
	for pattern, row := range rows {
		if strings.HasSuffix(pattern, "/…") && matches([]string{pattern}, dir) {
			return row, true
		}
	}
	return nil, false
}

// matches reports whether dir is in the list, where "x/…" is x and all below it.
func matches(list []string, dir string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		above, deep := strings.CutSuffix(p, "…")
		return p == dir || deep && (strings.HasPrefix(dir, above) || dir == strings.TrimSuffix(above, "/"))
	})
}

// ours is the folder of one of our packages.
func ours(target string) (string, bool) {
	if target == module {
		return ".", true
	}
	return strings.CutPrefix(target, module+"/")
}

func importPath(spec *ast.ImportSpec) string {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return target
}

var majorVersion = regexp.MustCompile(`/v\d+$`)

// baseName is the name that a package is used by when nothing else is said.
func baseName(target string) string { return path.Base(majorVersion.ReplaceAllString(target, "")) }
