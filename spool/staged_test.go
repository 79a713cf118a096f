package spool

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/spoold/spoold/protocol"
)

// reload makes a state of the pairs that changes put.
func reload(t *testing.T, c *Changes) *State {
	t.Helper()
	last := map[string][]byte{}
	for _, kv := range c.List {
		if last[string(kv.Key)] = kv.Value; kv.Value == nil {
			delete(last, string(kv.Key))
		}
	}
	keys := make([][]byte, 0, len(last))
	for k := range last {
		keys = append(keys, []byte(k))
	}
	slices.SortFunc(keys, bytes.Compare)
	ld := NewLoader()
	for _, k := range keys {
		if err := ld.Pair(k, last[string(k)]); err != nil {
			t.Fatal(err)
		}
	}
	st, err := ld.State()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStagedUnitsAndParkedTransactionsSurviveAStart(t *testing.T) {
	st, c := NewState(), &Changes{}
	st.Rebind(c)
	for i, topic := range []string{"a", "b"} {
		if err := st.AddLane(NewLane{ID: LaneID(i), Topic: topic}, c); err != nil {
			t.Fatal(err)
		}
		st.Append(LaneID(i), 1)
	}
	runs := []UnitRun{{Lane: 1, First: 0, Count: 5}, {Lane: 0, First: 0, Count: 1}}
	st.PutUnit(1<<32|7, runs, c)
	decision := func(n uint64, o TransactionOutcome) Decision {
		return Decision{
			Ordinal: n, Outcome: o, Identity: protocol.ProducerIdentity{ID: 3, Epoch: 4}, EndVersion: 5, Key: "a",
			Park: Park{Reason: ParkOutcomeUnknown, Detail: "why", At: 9}, Cut: []CutLane{{Lane: 1, Span: Span{End: 5}}},
			Partitions: []DecidedPartition{{Topic: "b", Partition: 2, First: 7, Last: 12, Records: 5}},
		}
	}
	txn := Transaction{ID: "t", Identity: protocol.NoIdentity, Decision: decision(9, OutcomeParked), Parked: []Decision{decision(8, OutcomeParked), decision(9, OutcomeParked)}}
	if err := st.Apply(&Write{Transaction: &txn}, c); err != nil {
		t.Fatal(err)
	}
	st.Flush(c)
	got := reload(t, c)
	if !reflect.DeepEqual(got.Transaction(), txn) {
		t.Errorf("transaction %+v, want %+v", got.Transaction(), txn)
	}
	if got.End(1) != 5 || !reflect.DeepEqual(got.Units(), map[uint64][]UnitRun{1<<32 | 7: runs}) {
		t.Errorf("lane ends at %d, units %v", got.End(1), got.Units())
	}
	settle := func(lane LaneID, sp Span) {
		if err := got.Apply(&Write{Settle: []Settlement{{Lane: lane, Spans: []Span{sp}, Outcome: OutcomeAcked}}}, c); err != nil {
			t.Fatal(err)
		}
		got.DropUnits(c)
	}
	settle(1, Span{End: 5})
	if !got.HasUnit(1<<32 | 7) {
		t.Error("forgotten, and one of its records has not left")
	}
	settle(0, Span{End: 1})
	got.Flush(c)
	if got.HasUnit(1<<32|7) || len(reload(t, c).Units()) > 0 {
		t.Error("known, and all of it has left")
	}
}

func TestABlockOfStagedRecordsSaysWhoseItIs(t *testing.T) {
	b := append(make([]byte, BlockHeader), "entriesmore"...)
	sections := []BlockSection{
		{Unit: 77, Lane: 0, Spans: []Span{{First: 1, End: 4}}, Off: BlockHeader, Len: 7},
		{Unit: 77, Lane: 2, Spans: []Span{{First: 9, End: 10}}, Off: BlockHeader + 7, Len: 4},
	}
	block := SealBlock(b, 5, sections)
	got, err := BlockDirectory(block, 5)
	if err != nil || !reflect.DeepEqual(got, sections) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range block {
		damaged := bytes.Clone(block)
		damaged[i] ^= 4
		if list, err := BlockDirectory(damaged, 5); err == nil && list[0].Check(damaged[8:15]) == nil && list[1].Check(damaged[15:19]) == nil {
			t.Errorf("a flipped bit in byte %d is not noticed", i)
		}
	}
	runs := []UnitRun{{Lane: 4, First: 100, Count: 4}, {Lane: 5, First: 7, Count: 1}, {Lane: 6, First: 50, Count: 10}}
	if in, ok := got[1].InLane(runs); !ok || in.Lane != 6 || in.Spans[0] != (Span{First: 59, End: 60}) || in.Unit != 0 {
		t.Errorf("in its lane: %+v %v", in, ok)
	}
	if _, ok := got[0].InLane([]UnitRun{{Lane: 4, First: 100, Count: 3}}); ok {
		t.Error("an entry behind the end of the unit")
	}
}
