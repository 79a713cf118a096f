package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite generated pages")

func TestTheReferencePageIsMadeOfTheTable(t *testing.T) {
	var page bytes.Buffer
	writeReference(&page)
	file := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Error("docs/configuration.md is not what the table says: go test ./cmd/spoold -run Reference -update")
	}
	for _, k := range keyDocs() {
		if !strings.Contains(page.String(), "`"+k.Name) {
			t.Errorf("%s is not on the page", k.Name)
		}
	}
}

func TestEveryKeyIsInOneTable(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range names() {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	variables := map[string]string{}
	for _, name := range working() {
		if other, twice := variables[envName(name)]; twice {
			t.Errorf("%s and %s have the same environment variable", name, other)
		}
		variables[envName(name)] = name
	}
}
