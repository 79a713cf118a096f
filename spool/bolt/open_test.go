package bolt

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/spool"
)

// TestMain lets the test binary be the other process that has the spool.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_HOLD"); dir != "" {
		s, _, err := Open(tinyOptions(dir))
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("held\n")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		_ = s.Close(context.Background())
		os.Exit(0)
	}
	poll.Parallel("8")
	poll.InMemory()
	os.Exit(m.Run())
}

// S-14.
func TestSecondProcessIsRefusedAndNamesTheFirst(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_HOLD="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, link} {
		var locked *LockedError
		if _, _, err := Open(tinyOptions(path)); !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
			t.Errorf("Open(%s): %v, want LockedError of process %d", path, err, cmd.Process.Pid)
		}
		if _, _, err := Inspect(path); !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
			t.Errorf("Inspect(%s): %v", path, err)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	l, _ := openLoop(t, tinyOptions(dir))
	l.close()
}

func TestCopyOfASpoolIsForeignUntilAdopted(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	l.close()
	dir := filepath.Join(t.TempDir(), "copy")
	copyDir(t, o.Path, dir)
	o.Path = dir
	if _, _, err := Open(o); !errors.Is(err, ErrForeign) {
		t.Fatalf("Open of a copy: %v", err)
	}
	o.Adopt = true
	l, _ = openLoop(t, o)
	l.close()
	o.Adopt = false
	l, r := openLoop(t, o)
	l.close()
	if r.Incarnation != 3 {
		t.Errorf("incarnation %d, want 3", r.Incarnation)
	}
}

func TestMissingFilesAreDamageAndStrangeOnesAreLeftAlone(t *testing.T) {
	o := tinyOptions(t.TempDir())
	numbers := severalSegments(t, o)
	strange := filepath.Join(o.Path, "notes.txt")
	temp := filepath.Join(o.Path, segmentName(99)+tempSuffix)
	for _, path := range []string{strange, temp} {
		if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := openLoop(t, o)
	l.close()
	if _, err := os.Stat(strange); err != nil {
		t.Errorf("a file that is not ours: %v", err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file of ours is still there: %v", err)
	}
	var bad *spool.CorruptError
	if err := os.Remove(filepath.Join(o.Path, segmentName(numbers[1]))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(o); !errors.As(err, &bad) || bad.Segment != numbers[1] {
		t.Errorf("without segment %d: %v", numbers[1], err)
	}
	for _, n := range numbers {
		_ = removeFile(o.Path, segmentName(n))
	}
	if _, _, err := Open(o); !errors.As(err, &bad) {
		t.Errorf("without any segment: %v, want an error and no new spool", err)
	}
}

func TestInspectShowsWhatIsPendingAndChangesNothing(t *testing.T) {
	o, m := smallSpool(t)
	before, err := os.ReadDir(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := activeFile(t, o.Path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in, err := Look(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[spool.Index]string{}
	err = in.Entries(func(e EntryInfo) bool {
		entry, _, err := spool.NextEntry(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		r, err := entry.Record()
		if err != nil {
			t.Fatal(err)
		}
		if got[e.Topic] == nil {
			got[e.Topic] = map[spool.Index]string{}
		}
		got[e.Topic][e.Index] = string(r.Value)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	pending := 0
	for topic, l := range m.lanes {
		for i, v := range l.values {
			if l.settled[i] != 0 {
				continue
			}
			pending++
			if got[topic][spool.Index(i)] != v {
				t.Errorf("%s[%d] is missing or wrong", topic, i)
			}
		}
	}
	if n := int(in.Recovered.Counters.Pending()); n != pending {
		t.Errorf("pending %d, want %d", n, pending)
	}
	sum := 0
	for _, x := range in.Segments() {
		sum += x.Pending
	}
	if sum != pending {
		t.Errorf("segments hold %d, want %d", sum, pending)
	}
	after, _ := os.ReadDir(o.Path)
	if again, _ := os.ReadFile(path); string(again) != string(file) || len(after) != len(before) {
		t.Error("the spool was changed")
	}
	if _, _, err := Inspect(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Inspect of an empty directory: %v", err)
	}
}
