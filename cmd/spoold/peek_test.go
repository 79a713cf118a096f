package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoold/spoold"
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

func TestRepairIntoADirectoryThatIsThereSaysSo(t *testing.T) {
	spool, taken := filepath.Join(t.TempDir(), "spool"), t.TempDir()
	if code, _, errs := run(t, "x\n", "produce", "-b", "localhost:1", "-t", "t", "--wait", "spooled", "--spool", spool); code != 0 {
		t.Fatalf("produce: code %d, %s", code, errs)
	}
	code, _, errs := run(t, "", "repair", spool, "-o", taken)
	if code != 73 || !strings.Contains(errs, taken+" is there already") || !strings.Contains(errs, "-o") {
		t.Errorf("code %d, %s", code, errs)
	}
}

// An outage gives each topic a long state: it must not move the other columns out of the window.
func TestStatusHasTheStateOfATopicLast(t *testing.T) {
	var b strings.Builder
	long := strings.Repeat("connection refused ", 10)
	printTopics(&b, []spoold.TopicStatus{
		{Topic: "a", State: "waiting", Detail: long, Partitions: []spoold.PartitionStatus{{Partition: 2, LastOffset: 7, ParkReason: "unknown"}}},
		{Topic: "b", State: "idle"},
	})
	for line := range strings.Lines(b.String()) {
		if at := strings.Index(line, "waiting"); at > 60 || strings.HasPrefix(line, "b") && len(line) > 80 {
			t.Errorf("the state begins at %d of %q", at, line)
		}
		if strings.HasPrefix(line, "a ") && !strings.Contains(line[:strings.Index(line, "waiting")], "2:7") {
			t.Errorf("no last ack in front of the state: %q", line)
		}
	}
}
