package bolt

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

var updateGolden = flag.Bool("update-golden", false, "make the golden spool of the current format version anew")

const goldenRecords = 90

// goldenVersion is the format of the spool that is looked at.
var goldenVersion = spool.FormatVersion

func goldenValue(topic string, i int) string {
	return fmt.Sprintf("%s%d %s", topic, i, strings.Repeat("v", goldenSize(topic, i)))
}

// goldenSize makes leaves, branches and overflow pages in format 3; before, all values had one size.
func goldenSize(topic string, i int) int {
	if goldenVersion < 3 {
		return 2000
	}
	return []int{300, 2000, 9000}[(i+len(topic))%3]
}

// goldenPending says which records of the golden spool have not left.
func goldenPending(topic string) map[spool.Index]string {
	out := map[spool.Index]string{}
	for i := range goldenRecords {
		if topic == "a" && (i < 10 || i == 60) || topic == "b" && (i < 40 || i == 45 || i == 47) {
			continue
		}
		out[spool.Index(i)] = goldenValue(topic, i)
	}
	if topic == "k" {
		return map[spool.Index]string{0: "v0", 1: "v1", 2: "v2"}
	}
	return out
}

// makeGolden makes a spool of the current format: several segments, records that left, two
// dead letters, a seal, a parked partition, notes, a key.
func makeGolden(t *testing.T, dir string) {
	o := tinyOptions(dir)
	o.SegmentBytes, o.AgeEvery = 128<<10, time.Hour
	o.Faults = &Faults{AllocSize: 16 << 10}
	l, _ := openLoop(t, o)
	ctx := context.Background()
	for i := range goldenRecords {
		for _, topic := range []string{"a", "b"} {
			if err := mustAppend(t, l.s, topic, goldenValue(topic, i)).Spooled(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := keyed("key", "k", "v")
	b.Notes = []Note{{"file", []byte("offset 4711")}}
	tk, err := l.s.AppendBatch(ctx, b)
	if err == nil {
		err = tk.Spooled(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.settle("a", spool.Span{First: 0, End: 10}, spool.Span{First: 60, End: 61})
	l.settle("b", spool.Span{First: 0, End: 40})
	id := protocol.ProducerIdentity{ID: 4000, Epoch: 3}
	l.write(&spool.Write{
		ClusterID: "the-cluster", Identity: &id,
		Settle: []spool.Settlement{{Lane: 1, Spans: []spool.Span{{First: 45, End: 46}, {First: 47, End: 48}}, Outcome: spool.OutcomeDeadLettered}},
		DeadLetters: []spool.DeadLetter{
			{Lane: 1, Index: 45, Partition: 2, Code: 10, Message: "too large", Attempts: 1, At: 1_700_000_000_000},
			{Lane: 1, Index: 47, Partition: 0, Code: 87, Message: "no key", Attempts: 2, At: 1_700_000_001_000},
		},
		Seals: []spool.Seal{{
			SealKey: spool.SealKey{Partition: 1, Identity: id, Base: 7}, Count: 3, Spans: []spool.Span{{First: 11, End: 14}},
			MaxTimestamp: 1, SealedAt: 2, SealedAge: 3, Tail: 99, Ordinal: 1,
		}},
		Partitions: []spool.PartitionState{{
			Partition: 1, Identity: id, Next: 10, Settled: 6, LastOffset: 98,
			Park: spool.Park{Reason: spool.ParkLogWentBack, Detail: "seen", At: 5},
		}},
		Audit: []spool.AuditEntry{{At: 1, What: "made"}},
	})
	if n := l.s.Stats().Segments; n < 3 {
		t.Errorf("%d segments, want at least 3", n)
	}
	l.close()
}

func TestSpoolsOfAllFormatVersionsAreRead(t *testing.T) {
	current := filepath.Join("testdata", fmt.Sprintf("spool-v%d.tar.gz", spool.FormatVersion))
	if *updateGolden {
		dir := t.TempDir()
		makeGolden(t, dir)
		if err := os.WriteFile(current, pack(t, dir), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "spool-v*.tar.gz"))
	if err != nil || !slices.Contains(files, current) {
		t.Fatalf("%v lack %s (make it with -update-golden): %v", files, current, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tar.gz"), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, file, dir)
			checkGolden(t, dir)
		})
	}
}

// goldenOptions are those that golden spools are opened with: their keys are as old as their files, and their lock files are others.
func goldenOptions(dir string) Options {
	o := tinyOptions(dir)
	o.Adopt, o.KeyWindow = true, 200*365*24*time.Hour
	return o
}

func checkGolden(t *testing.T, dir string) {
	o := goldenOptions(dir)
	for range 2 {
		l, r := openLoop(t, o)
		want := spool.Counters{Accepted: 2*goldenRecords + 3, Acked: 51, DeadLettered: 2}
		if r.Counters != want || r.ClusterID != "the-cluster" || r.Former.ID != 4000 || len(r.Seals) != 1 || len(r.Partitions) != 1 {
			t.Fatalf("recovered %+v", r)
		}
		if r.Seals[0].Tail != 99 || r.Partitions[0].Park.Reason != spool.ParkLogWentBack {
			t.Fatalf("seal %+v, partition %+v", r.Seals[0], r.Partitions[0])
		}
		for i, topic := range []string{"a", "b", "k"} {
			if got := readAll(t, l.s, spool.LaneID(i)); r.Lanes[i].Topic != topic || !maps.Equal(got, goldenPending(topic)) {
				t.Errorf("%q: %d records are pending, want %d of %q", r.Lanes[i].Topic, len(got), len(goldenPending(topic)), topic)
			}
		}
		if n := l.s.Stats().DeadLetters; n != 2 {
			t.Errorf("%d dead letters, want 2", n)
		}
		if v, _ := l.s.Note("file"); string(v) != "offset 4711" {
			t.Errorf("note %q", v)
		}
		tk, err := l.s.AppendBatch(context.Background(), keyed("key", "k", "v"))
		if err != nil || !tk.Duplicate() {
			t.Errorf("the key is new: %v", err)
		}
		l.close()
	}
}

func pack(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	if _, err := fmt.Sscanf(filepath.Base(file), "spool-v%d.", &goldenVersion); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { goldenVersion = spool.FormatVersion })
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
