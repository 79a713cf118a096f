package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Records that damage to an older segment took were delivered for the exit code, and named nowhere but in spoold ls.
func TestProduceAndFlushSayWhatDamageHasTaken(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"flush", "produce", "produce --wait spooled"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			broker := startBroker(t)
			spool := filepath.Join(t.TempDir(), "spool")
			var in strings.Builder
			for i := range 9000 {
				fmt.Fprintf(&in, "%d needle %s\n", i, strings.Repeat("x", 1000))
			}
			free := []string{"--spool", spool, "-X", "spool.min.free.bytes=1MiB", "-X", "spool.segment.bytes=8MiB"}
			for range 2 {
				if code, _, errs := run(t, in.String(), append([]string{"produce", "-b", "127.0.0.1:1", "-t", "t", "--wait", "spooled"}, free...)...); code != 0 {
					t.Fatal(code, errs)
				}
			}
			damage(t, spool, "4000 needle", "4000 noodle")
			args := append(strings.Fields(command), append([]string{"-b", broker}, free...)...)
			if command != "flush" {
				args = append(args, "-t", "t")
			}
			code, _, errs := run(t, "", args...)
			if command == "produce --wait spooled" { // the damage may be met only when it is read
				args = append([]string{"flush", "-b", broker}, free...)
				if code == 0 {
					code, _, errs = run(t, "", args...)
				}
			}
			if code != exitProblem || !strings.Contains(errs, " records lost: a file of the spool is damaged (") || !strings.Contains(errs, "spoold ls --spool "+spool+" names the places") {
				t.Errorf("code %d, want %d: %s", code, exitProblem, errs)
			}
			if code, _, errs := run(t, "", append([]string{"flush", "-b", broker}, free...)...); code != 0 {
				t.Errorf("the next run: code %d, %s", code, errs)
			}
		})
	}
}

// Damage that a look at the spool meets, and a start can set aside, ended flush with 65, and serve delivered the rest.
func TestFlushSetsAsideWhatServeSetsAside(t *testing.T) {
	t.Parallel()
	broker := startBroker(t)
	spool := filepath.Join(t.TempDir(), "spool")
	var in strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&in, "%d %s\n", i, strings.Repeat("x", 1000))
	}
	free := []string{"--spool", spool, "-X", "spool.min.free.bytes=1MiB", "-X", "spool.segment.bytes=8MiB"}
	for range 2 {
		if code, _, errs := run(t, in.String(), append([]string{"produce", "-b", "127.0.0.1:1", "-t", "t", "--wait", "spooled"}, free...)...); code != 0 {
			t.Fatal(code, errs)
		}
	}
	file, err := os.OpenFile(filepath.Join(spool, "spoold-00000001.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(2 << 20); at < 3<<20; at += 4096 { // pages' headers
		if _, err := file.WriteAt([]byte{0xff, 0xee, 0xdd, 0xcc}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "", append([]string{"flush", "-b", broker}, free...)...); code != exitProblem || !strings.Contains(errs, " lost: a file of the spool is damaged") {
		t.Errorf("code %d, want %d: %s", code, exitProblem, errs)
	}
	if code, _, errs := run(t, "", append([]string{"flush", "-b", broker}, free...)...); code != 0 {
		t.Errorf("the next run: code %d, %s", code, errs)
	}
}
