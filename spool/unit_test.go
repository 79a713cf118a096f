package spool

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/spoold/spoold/protocol"
)

func TestAUnitIsReadBackFromItsFirstEntry(t *testing.T) {
	unit := []UnitRun{{0, 7, 2}, {300, 1 << 40, 1}}
	key, value, headers := []byte("k"), []byte("v"), []Header{{"h", []byte("x")}}
	b := AppendUnitEntry(nil, unit, 99, 3, key, value, headers, BodySize(key, value, headers))
	plain := AppendEntry(nil, 99, 3, key, value, headers, BodySize(key, value, headers))
	e, rest, err := NextEntry(b)
	if err != nil || len(rest) != 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	p, _, _ := NextEntry(plain)
	if !bytes.Equal(e.Body, p.Body) || string(e.Key) != "k" || e.Timestamp != 99 || e.Partition != 3 {
		t.Errorf("read %+v, want the record %+v", e, p)
	}
	if got := e.Runs(); !reflect.DeepEqual(got, unit) {
		t.Errorf("unit %+v, want %+v", got, unit)
	}
	if p.Runs() != nil {
		t.Errorf("an ordinary entry is the first of the unit %+v", p.Runs())
	}
	if most := len(plain) + 5 + UnitSize(len(unit)); len(b) > most {
		t.Errorf("%d bytes, at most %d were announced", len(b), most)
	}
	for n := range b {
		if _, _, err := NextEntry(b[:n]); err == nil {
			t.Errorf("cut off after %d bytes, it is read", n)
		}
	}
}

// Law: whatever bytes stand in an entry, reading it is an error, or a unit that is the same when it
// is written and read again; never a panic, nor a list longer than is allowed.
func FuzzAUnitIsReadOrRefused(f *testing.F) {
	f.Add([]byte{1, 0, 7, 2})
	f.Add([]byte{2, 0, 7, 2, 3, 9, 1, 1, 1, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		raw := append([]byte{KindUnit, 1, 0, 0, 0, 0, 0, 0, 0, 1}, script...)
		b := append(appendUvarint(nil, uint64(len(raw))), raw...)
		e, _, err := NextEntry(b)
		if err != nil {
			return
		}
		runs := e.Runs()
		if len(runs) > MaxUnitRuns {
			t.Fatalf("%d runs", len(runs))
		}
		again, rest, err := skipUnit(appendUnit(nil, runs))
		if got := (Entry{unit: again}).Runs(); err != nil || len(rest) != 0 || len(got) != len(runs) || len(runs) > 0 && !reflect.DeepEqual(got, runs) {
			t.Fatalf("%+v is read again as %+v (%v, %d bytes left)", runs, got, err, len(rest))
		}
	})
}

func appendUvarint(b []byte, v uint64) []byte {
	e := enc{b}
	e.u64(v)
	return e.b
}

func testTransaction() *Transaction {
	return &Transaction{
		ID: "orders", Identity: protocol.ProducerIdentity{ID: 12, Epoch: 3}, Committed: 77, TookOver: "other", KeyTopic: "a", Fenced: "by a test", FencedBy: "another",
		Decision: Decision{
			Ordinal: 5, Outcome: OutcomeAborted, Identity: protocol.ProducerIdentity{ID: 12, Epoch: 2}, EndVersion: 5, Key: "a", DecidedAt: 1000,
			Park:       Park{ParkOutcomeUnknown, "expired", 9},
			Cut:        []CutLane{{0, Span{1, 9000}}, {1, Span{3, 4}}},
			Partitions: []DecidedPartition{{"a", 2, protocol.TopicID{9}, 1 << 40, 1<<40 + 9998, 8999, []Span{{1, 20}, {22, 23}}}, {"b", 0, protocol.TopicID{}, protocol.NoOffset, protocol.NoOffset, 1, nil}},
		},
	}
}

// Values of older programs say all but where a transaction ends in a partition.
func TestOlderValuesOfATransactionAreRead(t *testing.T) {
	one := testTransaction()
	for i := range one.Decision.Partitions {
		one.Decision.Partitions[i].Last, one.Decision.Partitions[i].Spans = protocol.NoOffset, nil
	}
	parked, seen := one.Decision, one.Decision
	parked.Ordinal, parked.Outcome, parked.Cut, parked.Partitions = 4, OutcomeParked, parked.Cut[:1], parked.Partitions[:1]
	seen.Ordinal, seen.Outcome, seen.Cut, seen.Partitions = 3, OutcomeCommitted, seen.Cut[1:], seen.Partitions[1:]
	two := *one
	two.Parked = []Decision{parked}
	three := two
	three.Unconfirmed, three.Topics, three.Groups = []Decision{seen}, []string{"x"}, []string{"g", "h"}
	const head = "066f726465727318064d056f7468657201610962792061207465737407616e6f74686572050218040a0161d00f0f6f7574636f6d652d756e6b6e6f776e" +
		"076578706972656412020001a7460103010201610409000000000000000000000000000000808080808040ce8c01016200000000000000000000000000000000000102"
	const atEnd = "01040318040a0161d00f0f6f7574636f6d652d756e6b6e6f776e076578706972656412010001a7460101610409000000000000000000000000000000808080808040ce8c01"
	const behind = "01030118040a0161d00f0f6f7574636f6d652d756e6b6e6f776e07657870697265641201010301010162000000000000000000000000000000000001020101780201670168"
	for value, want := range map[string]*Transaction{"01" + head: one, "02" + head + atEnd: &two, "03" + head + atEnd + behind: &three} {
		b, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		v := dec{b: b, what: "transaction"}
		if x := decodeTransaction(&v); v.done() != nil || !reflect.DeepEqual(&x, want) {
			t.Errorf("version %s is read as %+v, %v", value[:2], x, v.done())
		}
	}
}

// Law: whatever stands under the key of the transactional id is refused, or is the same when it is
// written and read again.
func FuzzATransactionIsReadOrRefused(f *testing.F) {
	var c Changes
	c.transaction(testTransaction())
	f.Add(c.List[0].Value)
	c.transaction(&Transaction{})
	f.Add(c.List[1].Value)
	f.Fuzz(func(t *testing.T, script []byte) {
		read := func(b []byte) (Transaction, error) {
			v := dec{b: b, what: "transaction"}
			x := decodeTransaction(&v)
			return x, v.done()
		}
		x, err := read(script)
		if err != nil {
			return
		}
		var c Changes
		c.transaction(&x)
		if y, err := read(c.List[0].Value); err != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%+v is read again as %+v, %v", x, y, err)
		}
	})
}

func TestADecisionOverWhatIsNotThereIsRefused(t *testing.T) {
	for _, cut := range []CutLane{{5, Span{0, 1}}, {0, Span{0, 10001}}, {1, Span{4, 3}}} {
		st, _ := testState(t)
		x := testTransaction()
		x.Decision.Cut = []CutLane{cut}
		if err := st.Apply(&Write{Transaction: x}, &Changes{}); err == nil {
			t.Errorf("a decision over %+v is taken", cut)
		}
	}
	_, changes := testState(t)
	m := pairs(changes)
	x := testTransaction()
	x.Decision.Cut[0].End = 10001
	var c Changes
	c.transaction(x)
	m[string(c.List[0].Key)] = c.List[0].Value
	if _, err := load(m); err == nil {
		t.Error("a decision above a lane's end is loaded")
	}
}
