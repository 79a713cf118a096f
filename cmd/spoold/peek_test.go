package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPeekAndExportOfADamagedSpoolNameTheWayOut(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	if code, _, errs := run(t, "needle in it\n", "produce", "-b", "localhost:1", "-t", "t", "--wait", "spooled", "--spool", spool); code != 0 {
		t.Fatalf("produce: code %d, %s", code, errs)
	}
	path := filepath.Join(spool, "spoold-00000001.db")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(file, []byte("needle"), []byte("noodle")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"peek", "export"} {
		code, _, errs := run(t, "", command, "--spool", spool)
		if code != 65 || !strings.Contains(errs, "spoold repair "+spool+" -o NEW") {
			t.Errorf("%s: code %d, %s", command, code, errs)
		}
	}
}
