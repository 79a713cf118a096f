package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

const cliIntro = "# Commands\n\nThis page is made of the descriptions that `spoold help COMMAND`, completions and the manual page are made of (`go test ./cmd/spoold -run Reference -update`).\n\n" +
	"Flags may stand before or behind arguments. Errors go to standard error, one line each: `spoold: what was wrong, where, what to do`. `--json` prints facts for programs.\n"

// golden compares a page that is made of the code, or writes it.
func golden(t *testing.T, name string, page []byte) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", name)
	if *update {
		if err := os.WriteFile(file, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page) {
		t.Errorf("docs/%s is not what the code says: go test ./cmd/spoold -run Reference -update", name)
	}
}

func TestReferenceOfCommandsIsMadeOfTheProgram(t *testing.T) {
	var page bytes.Buffer
	page.WriteString(cliIntro)
	app := newApp(&world{env: func(string) string { return "" }})
	page.WriteString("\n| command | does |\n|---|---|\n")
	for _, cmd := range app.Commands {
		fmt.Fprintf(&page, "| [`spoold %s`](#spoold-%s) | %s |\n", cmd.Name, cmd.Name, cell(cmd.Usage))
	}
	for _, cmd := range app.Commands {
		writeCommand(&page, "spoold "+cmd.Name, cmd, "##")
	}
	writeExitCodes(&page)
	golden(t, "cli.md", page.Bytes())
}

func writeCommand(out io.Writer, name string, cmd *cli.Command, heading string) {
	fmt.Fprintf(out, "\n%s %s\n\n%s.\n\n```\n", heading, name, capital(cmd.Usage))
	for line := range strings.Lines(cmd.UsageText) {
		fmt.Fprint(out, strings.TrimPrefix(line, "   "))
	}
	fmt.Fprint(out, "\n```\n")
	if cmd.Description != "" {
		fmt.Fprintf(out, "\n%s\n", strings.TrimSpace(cmd.Description))
	}
	if len(cmd.Flags) > 0 {
		fmt.Fprint(out, "\n| flag | means | default |\n|---|---|---|\n")
	}
	for _, f := range cmd.Flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		var names []string
		for _, n := range f.Names() {
			names = append(names, "`"+strings.Repeat("-", min(len(n), 2))+n+"`")
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", strings.Join(names, ", "), cell(strings.ReplaceAll(doc.GetUsage(), "\n", " ")), flagDefault(f))
	}
	for _, sub := range cmd.Subcommands {
		writeCommand(out, name+" "+sub.Name, sub, heading+"#")
	}
}

// flagDefault is what a flag is when it is not given, where that is not nothing.
func flagDefault(f cli.Flag) string {
	switch f := f.(type) {
	case *cli.IntFlag:
		return quoted(fmt.Sprint(f.Value))
	case *cli.DurationFlag:
		if f.Value != 0 {
			return quoted(f.Value.String())
		}
	case *cli.StringFlag:
		return quoted(f.Value)
	}
	return ""
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func writeExitCodes(out io.Writer) {
	fmt.Fprint(out, "\n## Exit codes\n\n`status` has its own, as monitoring plugins have: 0 healthy, 1 degraded (look at it today), 2 critical (now), 3 not running. All others:\n\n| code | means | what to do |\n|---|---|---|\n")
	for _, m := range exitMeanings {
		fmt.Fprintf(out, "| %d | %s | %s |\n", m.code, m.means, m.do)
	}
}
