package mistakes

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

const root = "../../../.."

func TestEveryMistakeFitsTodaysCode(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		sources, err := all[i].Source(root)
		if err != nil {
			t.Error(err)
			continue
		}
		for path, text := range sources {
			if _, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution); err != nil {
				t.Errorf("%s.patch: %v", all[i].Name, err)
			}
		}
	}
}

// The published table has every mistake and no other: who adds one runs make plant.
func TestTheTableHasEveryMistake(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(root + "/docs/proof/planted.md")
	if err != nil {
		t.Fatal(err)
	}
	table := string(raw)
	for i := range all {
		row := "| `" + all[i].Name + "` | " + all[i].What + " |"
		if !strings.Contains(table, row) {
			t.Errorf("docs/proof/planted.md has no row that begins with %q: run make plant", row)
		}
	}
	if rows := strings.Count(table, "\n| `"); rows != len(all) {
		t.Errorf("docs/proof/planted.md has %d rows, and there are %d mistakes: run make plant", rows, len(all))
	}
}

func TestAPatchIsAppliedWhereItsLinesStandAndNowhereElse(t *testing.T) {
	const source = "func f() {\n\tif a {\n\t\tb()\n\t}\n}\n\nfunc g() {\n\tif a {\n\t\tc()\n\t}\n}\n"
	tests := []struct {
		name, patch string
		want        string // of the source, or
		err         string // of the error
	}{
		{"a line is replaced", "What.\n\n--- x.go\n-b()\n+c()\n", strings.Replace(source, "\t\tb()", "c()", 1), ""},
		{"lines that say the place stay", "What.\n\n--- x.go\n \tif a {\n-\t\tc()\n+\t\td()\n", strings.Replace(source, "c()", "d()", 1), ""},
		{"two places", "What.\n\n--- x.go\n-\t\tb()\n+\t\td()\n@@\n-\t\tc()\n", strings.Replace(strings.Replace(source, "b()", "d()", 1), "\t\tc()\n", "", 1), ""},
		{"the code has changed", "What.\n\n--- x.go\n-\t\te()\n", "", "not there:\n\t\te()"},
		{"the place is not the only one", "What.\n\n--- x.go\n-\tif a {\n+\tif !a {\n", "", "lines 2 and 8"},
		{"no file", "What.\n\n-b()\n", "", "is due"},
		{"no change", "What.\n\n--- x.go\n b()\n", "", "without a change"},
		{"no description", "\n\n--- x.go\n-b()\n", "", "needs a description"},
		{"no sign", "What.\n\n--- x.go\n-b()\nc()\n", "", "neither"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			m, err := Parse("m", tt.patch)
			if err == nil {
				got, err = m.Files[0].Apply(source)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
