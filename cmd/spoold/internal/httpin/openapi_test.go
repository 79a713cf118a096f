package httpin

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/openapi.json")

var docs = filepath.Join("..", "..", "..", "..", "docs")

func TestTheDescriptionIsMadeOfTheRoutes(t *testing.T) {
	text, err := json.MarshalIndent(Description(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	file := filepath.Join(docs, "openapi.json")
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, text) {
		t.Error("docs/openapi.json is not what the routes say: go test ./cmd/spoold/internal/httpin -run Description -update")
	}
	h, _, _ := newTest(testConfig())
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi", nil)); w.Code != 200 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("/openapi: %d", w.Code)
	}
	for i := range routes {
		for _, status := range routes[i].about.status {
			if statusDocs[status] == "" {
				t.Errorf("%s answers %s, which is not explained", routes[i].pattern, status)
			}
		}
		for _, name := range routes[i].about.params {
			if paramDocs[name].text == "" {
				t.Errorf("%s takes %s, which is not explained", routes[i].pattern, name)
			}
		}
	}
}

func TestThePageHasEveryRouteStatusAndCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "http.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`faultf\((\d+), (\d+)`)
	n := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found.FindAllSubmatch(text, -1) {
			if status, code := string(m[1]), string(m[2]); status != "0" {
				n++
				if row := regexp.MustCompile(`(?m)^\| [\d, ]*\b` + status + `\b[\d, ]* \| [\d, ]*\b` + code + `\b[\d, ]* \|`); !row.Match(page) {
					t.Errorf("docs/http.md has no row with status %s and code %s, which %s answers", status, code, file)
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("%d faults were found: are they written in another way now?", n)
	}
	for i := range routes {
		pattern := routes[i].pattern
		if short := "…" + pattern[strings.LastIndex(pattern, "/"):]; !bytes.Contains(page, []byte(pattern)) && !bytes.Contains(page, []byte(short)) && !bytes.Contains(page, []byte("…/topics/{topic}")) {
			t.Errorf("docs/http.md has no %s", pattern)
		}
	}
}
