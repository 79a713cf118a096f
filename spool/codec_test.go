package spool

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
)

var updateGolden = flag.Bool("update", false, "rewrite testdata/format.golden; commit it only if you can explain the diff")

// testBlock has two lanes, one of them with gaps as after a rewrite.
func testBlock() ([]byte, []BlockSection) {
	b := make([]byte, BlockHeader)
	entry := func(ts int64, partition int32, key, value []byte, headers ...Header) {
		b = AppendEntry(b, ts, partition, key, value, headers, BodySize(key, value, headers))
	}
	sections := []BlockSection{{Lane: 0, Spans: []Span{{5, 7}}, Off: len(b)}, {Lane: 3, Spans: []Span{{1, 2}, {9, 10}}}}
	entry(1000, -1, nil, []byte("v"))
	entry(-1, 2, []byte{}, nil, Header{"h", nil}, Header{"", []byte("x")})
	sections[0].Len = len(b) - sections[0].Off
	sections[1].Off = len(b)
	entry(1<<40, 1<<31-1, []byte("k"), []byte("w"))
	entry(0, 0, []byte("k"), []byte("w"))
	sections[1].Len = len(b) - sections[1].Off
	return SealBlock(b, 7, sections), sections
}

func testHead() Head {
	return Head{Segment: 2, Block: 9, Age: 1234, BootTime: 99, Boot: [16]byte{1, 2}, Pairs: 3, PairSum: 4, Blocks: 5, BlockSum: 6, Keys: 7, KeySum: 8}
}

func testKeys() []KeyRecord {
	return []KeyRecord{
		{Digest: KeyDigest{1}, Body: 2, Age: 3, Runs: []KeyRun{{Lane: 0, First: 5, Count: 2}, {Lane: 3, First: 9, Count: 1}}},
		{Digest: KeyDigest{4}, Body: 5, Age: 6},
	}
}

// testState goes through everything a state can hold, and gives all changes.
func testState(t testing.TB) (*State, *Changes) {
	st, out := NewState(), new(Changes)
	st.Binding = Binding{SpoolID: "id", Incarnation: 3, MachineID: "m", LockInode: 77, Former: protocol.NoIdentity}
	st.Rebind(out)
	for i, topic := range []string{"a", "b"} {
		if err := st.AddLane(NewLane{LaneID(i), topic}, out); err != nil {
			t.Fatal(err)
		}
	}
	st.Append(0, 10000)
	st.Append(1, 20)
	st.MarkAge(0, 0, 1000, 10)
	st.MarkAge(0, 400, 1010, 10)
	st.MarkAge(0, 7000, 1011, 10)
	st.PutNote("file", []byte("123"), out)
	st.PutNote("gone", []byte("1"), out)
	st.PutNote("gone", nil, out)
	st.PutSegment(SegmentInfo{Number: 1, Bytes: 5000, Blocks: 2, Sum: 3, Keys: 1, KeySum: 4, Extents: []Extent{{0, Span{0, 10}}, {1, Span{3, 4}}}}, out)
	st.PutSegment(SegmentInfo{Number: 2, Blocks: 1, Damaged: true}, out)
	id := Identity{ID: 4000, Epoch: 2}
	w := &Write{
		ClusterID: "cluster", Identity: &id, Stop: "P11",
		Bindings: []LaneBinding{{Lane: 0, TopicID: protocol.TopicID{9}}},
		Facts:    []LaneFacts{{0, Facts{[]CountFact{{0, 3}, {500, 6}}, []StickyFact{{0, 2}, {100, 1}, {9000, 0}}}}},
		Seals:    []Seal{{SealKey: SealKey{0, 1, id, 1<<31 - 1}, Count: 3, Spans: []Span{{4, 6}, {9, 10}}, TopicID: protocol.TopicID{9}, MaxTimestamp: 1, SealedAt: 2, SealedAge: 3, Tail: 4, Ordinal: 5, Refused: 10}},
		Settle: []Settlement{
			{Lane: 1, Spans: []Span{{0, 2}, {5, 6}}, Outcome: OutcomeAcked}, {Lane: 0, Spans: []Span{{200, 201}, {4200, 9000}}, Outcome: OutcomeExpired, Why: "too old", At: 6},
			{Lane: 0, Spans: []Span{{7, 8}}, Outcome: OutcomeDeadLettered},
		},
		DeadLetters: []DeadLetter{{Lane: 0, Index: 7, Partition: 1, Code: 10, Message: "too large", Attempts: 2, At: 5}},
		Partitions:  []PartitionState{{Lane: 0, Partition: 1, Identity: id, Next: 3, Settled: protocol.NoSequence, LastOffset: -1, LastMaxTimestamp: 8, Park: Park{ParkRefused, "detail", 9}}},
		Transaction: testTransaction(),
		Audit:       []AuditEntry{{1, "adopted"}},
	}
	if err := st.Apply(w, out); err != nil {
		t.Fatal(err)
	}
	lost := Settlement{Lane: 0, Spans: []Span{{3, 7}, {100, 120}}, Why: "damage", At: 7, Partition: 1, HasPartition: true}
	if left, err := st.Lose(lost, out); err != nil || !slices.Equal(left, []Span{{3, 4}, {6, 7}, {100, 120}}) {
		t.Fatalf("lost %v, %v: but for what is sealed", left, err)
	}
	st.Flush(out)
	return st, out
}

// pairs are what the changes leave on disk.
func pairs(c *Changes) map[string][]byte {
	m := map[string][]byte{}
	for _, kv := range c.List {
		if kv.Value == nil {
			delete(m, string(kv.Key))
		} else {
			m[string(kv.Key)] = kv.Value
		}
	}
	return m
}

func load(m map[string][]byte) (*State, error) {
	ld := NewLoader()
	for _, k := range sortedKeys(m) {
		if err := ld.Pair([]byte(k), m[k]); err != nil {
			return nil, err
		}
	}
	return ld.State()
}

func TestFormatIsWhatItWas(t *testing.T) {
	var out strings.Builder
	line := func(name string, b []byte) { out.WriteString(name + " " + hex.EncodeToString(b) + "\n") }
	block, _ := testBlock()
	line("block", block)
	h := testHead()
	line("head", AppendHead(nil, &h))
	line("unit", AppendUnitEntry(nil, []UnitRun{{0, 5, 2}, {3, 1, 1}}, 1000, -1, nil, []byte("v"), nil, BodySize(nil, []byte("v"), nil)))
	line("keys", EncodeKeys(7, testKeys(), []Mark{{DeadLetter{1, 2, 3, 10, "too large", 1, 5, true}, 6, 70}}))
	_, changes := testState(t)
	m := pairs(changes)
	for _, k := range sortedKeys(m) {
		line("pair "+hex.EncodeToString([]byte(k)), bytes.TrimRight(m[k], "\x00"))
	}
	path := filepath.Join("testdata", "format.golden")
	if *updateGolden {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the format on disk changed: spools of today could not be read. Got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestStateIsTheSameAfterLoading(t *testing.T) {
	st, changes := testState(t)
	again, err := load(pairs(changes))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Recovered(), st.Recovered(); !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v\nwant %+v", got, want)
	}
	if !reflect.DeepEqual(again.Segments(), st.Segments()) || again.DeadLetters() != 1 {
		t.Errorf("segments %+v, %d dead letters", again.Segments(), again.DeadLetters())
	}
	if v, ok := again.Note("file"); !ok || string(v) != "123" {
		t.Errorf("note %q, %v", v, ok)
	}
}

func TestFactsThatNoPendingRecordNeedsAreForgotten(t *testing.T) {
	st, _ := testState(t)
	var out Changes
	if err := st.Apply(&Write{Settle: []Settlement{{Lane: 0, Spans: []Span{{0, 600}}, Outcome: OutcomeAcked}}}, &out); err != nil {
		t.Fatal(err)
	}
	f := st.Recovered().Lanes[0].Facts
	if want := (Facts{[]CountFact{{500, 6}}, []StickyFact{{100, 1}, {9000, 0}}}); !reflect.DeepEqual(f, want) {
		t.Errorf("facts %+v, want %+v", f, want)
	}
	if n := len(st.Recovered().Seals); n != 0 {
		t.Errorf("%d seals, want 0: all of its records have left", n)
	}
}

// What is given is a part of the whole state, and nothing else.
func TestLoadingAStateWithoutOneOfItsPairsFailsOrGivesLess(t *testing.T) {
	_, changes := testState(t)
	m := pairs(changes)
	for k, v := range m {
		delete(m, k)
		_, err := load(m)
		// The head's checksum finds a missing pair; what others refer to is found here already.
		if letter := k[0]; err == nil && strings.ContainsRune("blcz", rune(letter)) {
			t.Errorf("without pair %q: no error", k)
		}
		m[k] = v
	}
}

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// A partition's state that was written before leader epochs were kept is read, with none.
func TestAPartitionWithoutALeaderEpochIsRead(t *testing.T) {
	var c Changes
	c.partition(PartitionState{Identity: protocol.ProducerIdentity{ID: 7}, Next: 5, Settled: 4, LastOffset: 9, LeaderEpoch: 3})
	kv := c.List[0]
	for _, tt := range []struct {
		value []byte
		want  int32
	}{{kv.Value, 3}, {kv.Value[:len(kv.Value)-1], 0}} {
		ld := NewLoader()
		if err := ld.Pair(kv.Key, tt.value); err != nil {
			t.Fatal(err)
		}
		if p := ld.st.parts[partitionKey{}]; p.LeaderEpoch != tt.want || p.LastOffset != 9 {
			t.Errorf("read %+v, want leader epoch %d", p, tt.want)
		}
	}
}
