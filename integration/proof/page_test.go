package proof

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestThePageIsMadeOfTheFilesBesideItAndSaysNoMore(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PROOF", "1")
	r := Begin("seeds", "A simulated world", "make sim")
	r.Count("histories", 1234567)
	r.Inject("kill", 41)
	r.Inject("never", 0)
	r.NotCovered = []string{"transactions"}
	if err := r.Save(root); err != nil {
		t.Fatal(err)
	}
	s := Begin("states", "Crash states", "make crash")
	s.Violations = 2
	s.NotCovered = []string{"transactions", "lying disks"}
	if err := s.Save(root); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "docs", "proof", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, want := range []string{"| histories | 1,234,567 |", "| kill | 41 |", "No violation found in a run", "2 violations found in a run",
		"[A simulated world](#a-simulated-world)", "make sim", r.Commit, "- lying disks\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "never") || strings.Count(page, "- transactions\n") != 1 || strings.Contains(page, "proved correct") {
		t.Errorf("the page says too much:\n%s", page)
	}
}

func TestARunThatNobodyAskedToKeepWritesNothing(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PROOF", "")
	if err := Begin("seeds", "x", "y").Save(root); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// What is committed in docs must be what the files say: a page edited by hand is a claim without a run.
func TestThePageInDocsIsWhatItsFilesSay(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	runs, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) == 0 {
		return // nothing is claimed yet
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "proof", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != string(Page(runs)) {
		t.Error("docs/proof/README.md is not made of docs/proof/*.json: run go run ./integration/proof/write")
	}
}

func TestARunSurvivesItsFile(t *testing.T) {
	r := &Run{Name: "x", Began: time.Unix(1, 0).UTC(), Faults: map[string]int{"a": 1}, Numbers: []Number{{"n", "1"}}}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Run
	if err := json.Unmarshal(raw, &back); err != nil || back.Faults["a"] != 1 || back.Numbers[0] != r.Numbers[0] || !back.Began.Equal(r.Began) {
		t.Errorf("%+v, %v", back, err)
	}
}
