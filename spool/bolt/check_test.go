package bolt

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

func none(int64, int64) {}

// A clean spool with dead letters and older segments has no problem; one flipped bit in a record of an older segment is found,
// and the file is named.
func TestCheckFindsOneFlippedBitAndNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "testdata/spool-v2.tar.gz", dir)
	rep, err := Check(dir, none)
	if err != nil || len(rep.Problems) != 0 || rep.Segments < 3 || rep.Records < goldenRecords {
		t.Fatalf("a clean spool: %+v, %v", rep, err)
	}
	numbers, _, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := segmentPath(dir, numbers[0])
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "vvvvvvvvvvvvvvvv")
	if at < 0 {
		t.Fatal("no record is found in the oldest segment")
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err = Check(dir, none)
	if err != nil || len(rep.Problems) != 1 || rep.Problems[0].Path != path {
		t.Fatalf("a flipped bit: %+v, %v", rep, err)
	}
	o := tinyOptions(dir)
	o.Adopt = true
	l, _ := openLoop(t, o)
	_, _, _, err = l.s.Read(0, 0, 1<<20, nil)
	var damage *spool.CorruptError
	if !errors.As(err, &damage) || damage.Path != path || !strings.Contains(err.Error(), "spoold check") {
		t.Errorf("Read: %v", err)
	}
	l.close()
}

func TestPendingShowsEachRecordThatHasNotLeftOnce(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "testdata/spool-v2.tar.gz", dir)
	l, _ := openLoop(t, goldenOptions(dir))
	defer l.close()
	got := map[spool.Index]string{}
	err := l.s.Pending("b", func(topic string, i spool.Index, raw []byte) (bool, error) {
		e, _, err := spool.NextEntry(raw)
		if err != nil || topic != "b" || got[i] != "" {
			t.Errorf("record %d of %s: %v", i, topic, err)
		}
		r, err := e.Record()
		got[i] = string(r.Value)
		return true, err
	})
	want := goldenPending("b")
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d records, want %d; %v", len(got), len(want), err)
	}
	for i, v := range want {
		if got[i] != v {
			t.Errorf("record %d is %.10q, want %.10q", i, got[i], v)
		}
	}
}
