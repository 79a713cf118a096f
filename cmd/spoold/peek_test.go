package main

import (
	"bytes"
	"fmt"
	"io"
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

// damage changes a text in a spool's file, in its place: a daemon may have it mapped.
func damage(t *testing.T, spool, from, to string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(spool, "spoold-00000001.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	all, err := io.ReadAll(file)
	at := bytes.Index(all, []byte(from))
	if err != nil || at < 0 {
		t.Fatalf("%q is not in the file, %v", from, err)
	}
	for ; at >= 0 && err == nil; at = bytes.Index(all, []byte(from)) {
		_, err = file.WriteAt([]byte(to), int64(at))
		copy(all[at:], to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What stands before the damage is printed, with the daemon or without it, and the error says where it ended.
func TestExportsEndAtDamageWithItsExitCodeAndAllThatStandsBeforeIt(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			t.Parallel()
			spool := filepath.Join(t.TempDir(), "spool")
			d := startDaemon(t, spool, "-b", startBroker(t), "-X", "topics.create=false", "-X", "spool.settle.ms=10")
			for _, topic := range []string{"dead", "late"} {
				for _, value := range []string{"first", "needle", "last"} {
					if code, text := d.post(t, "/topics/"+topic, "", `{"records":[{"value":"`+topic+" "+value+`"}]}`); code != 200 {
						t.Fatalf("%d %s", code, text)
					}
				}
			}
			trouble(t, spool, "dead", "the topic does not exist")
			resolveOK(t, "put to the dead letters", "dead", "--dead-letter", "--spool", spool)
			if !live {
				d.stop(t)
			}
			damage(t, spool, "needle", "noodle")
			file := filepath.Join(t.TempDir(), "kept.ndjson")
			way := "spoold repair " + spool + " -o NEW"
			for _, tt := range []struct {
				args                []string
				last, where, nowhow string
			}{
				{[]string{"export", "late"}, `"index":0`, "export: it ended after 1 record, the last of them index 0 of topic late: ", way},
				{[]string{"peek"}, "late first", "peek: it ended after 1 record, the last of them index 0 of topic late: ", way},
				{[]string{"dlq", "export"}, `"serial":1`, "dlq export: it ended after 1 dead letter, the last of them number 1: ", way},
				{[]string{"dlq", "export", "-o", file}, "", "the last of them number 1: ", file + " has the 1 dead letter before it"},
				{[]string{"dlq", "show", "2"}, "", "", way},
			} {
				if !live { // what a spool is in the whole is looked at first
					tt.last, tt.where = "", ""
				}
				code, out, errs := run(t, "", append(tt.args, "--spool", spool)...)
				if code != exitCorrupt || !strings.Contains(out, tt.last) || strings.Count(out, "\n") > 5 || !strings.Contains(errs, tt.where) || live && !strings.Contains(errs, tt.nowhow) ||
					!strings.Contains(errs, way) || !strings.Contains(errs, "spoold-00000001.db") || live != strings.Contains(errs, "when the daemon has been stopped") {
					t.Errorf("%q: code %d, want %d; %q in %s; %q and %q in %s", tt.args, code, exitCorrupt, tt.last, out, tt.where, tt.nowhow, errs)
				}
			}
			kept, err := os.ReadFile(file)
			if live && (err != nil || strings.Count(string(kept), "\n") != 1) || !live && err == nil {
				t.Errorf("the file holds %s, %v: want one dead letter with a daemon, and no file without", kept, err)
			}
			if code, out, errs := run(t, "", "dlq", "ls", "--spool", spool); live && (code != exitOK || !strings.Contains(out, "3 dead letters")) || !live && (code != exitCorrupt || !strings.Contains(errs, way)) {
				t.Errorf("dlq ls: code %d, %s%s", code, out, errs)
			}
			want := exitProblem
			if live {
				want = exitTemporary
			}
			if code, out, errs := run(t, "", "check", "--spool", spool); code != want {
				t.Errorf("check: code %d, want %d: %s%s", code, want, out, errs)
			}
		})
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
