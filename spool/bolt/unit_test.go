package bolt

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// unitPlace is where a unit begins in a lane.
type unitPlace struct {
	lane  spool.LaneID
	first spool.Index
}

// spooledUnit notes where the runs of a unit are that stands at the ends of its lanes.
func (m *model) spooledUnit(b *BatchInput) {
	topics, counts := b.unitTopics()
	var runs []spool.UnitRun
	for i, topic := range topics {
		l := m.lanes[topic]
		runs = append(runs, spool.UnitRun{Lane: spool.LaneID(slices.Index(m.order, topic)), First: spool.Index(len(l.values) - counts[i]), Count: counts[i]})
	}
	for _, r := range runs {
		m.units[unitPlace{r.Lane, r.First}] = runs
	}
}

// decide has w hold a decision over what every lane has now, or what became of the last one.
func (c *crashRig) decide(w *spool.Write) {
	x := c.m.txn
	if x.Decision.Open() {
		x.Decision.Outcome = spool.TransactionOutcome(1 + c.rng.IntN(2))
	} else {
		x.ID = "orders"
		x.Decision = spool.Decision{Ordinal: x.Decision.Ordinal + 1, Identity: protocol.ProducerIdentity{ID: 3, Epoch: 4}, EndVersion: 5, Key: "t0"}
		for i, topic := range c.m.order {
			l := c.m.lanes[topic]
			x.Decision.Cut = append(x.Decision.Cut, spool.CutLane{Lane: spool.LaneID(i), Span: spool.Span{End: spool.Index(len(l.values))}})
			x.Decision.Partitions = append(x.Decision.Partitions, spool.DecidedPartition{Topic: topic, First: protocol.Offset(c.step), Last: protocol.Offset(c.step), Records: 1})
		}
	}
	c.m.txn, w.Transaction = x, &x
}

// checkUnits compares where units begin, in what is left, and the last decision.
func (m *model) checkUnits(t testing.TB, what string, s *Store, r *spool.Recovered) {
	t.Helper()
	if !reflect.DeepEqual(r.Transaction, m.txn) {
		t.Fatalf("%s: transaction %+v, want %+v", what, r.Transaction, m.txn)
	}
	for i, topic := range m.order {
		id := spool.LaneID(i)
		for at, got := range unitsOf(t, s, id) {
			if want := m.units[unitPlace{id, at}]; !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: unit at %s[%d]: %v, want %v", what, topic, at, got, want)
			}
		}
	}
}

// unitsOf are the units of all entries of a lane that can be read.
func unitsOf(t testing.TB, s *Store, lane spool.LaneID) map[spool.Index][]spool.UnitRun {
	t.Helper()
	out := map[spool.Index][]spool.UnitRun{}
	var buf []byte
	for at := spool.Index(0); ; {
		sections, next, b, err := s.Read(lane, at, 4096, buf)
		if err != nil {
			t.Fatal(err)
		}
		buf = b
		for i := range sections {
			if err := eachEntry(&sections[i], func(i spool.Index, raw []byte) {
				e, _, _ := spool.NextEntry(raw)
				out[i] = e.Runs()
			}); err != nil {
				t.Fatal(err)
			}
		}
		if len(sections) == 0 {
			return out
		}
		at = next
	}
}

func TestUnitsOfOneRecordAndPlainBatchesAreNotMarked(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	batch := func(unit bool, topics ...string) {
		b := &BatchInput{Unit: unit}
		for _, topic := range topics {
			b.Records = append(b.Records, RecordInput{Topic: topic, Partition: -1, Value: []byte("v")})
		}
		tk, err := l.s.AppendBatch(context.Background(), b)
		if err == nil {
			err = tk.Spooled(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	batch(true, "a")
	batch(false, "a", "b", "a")
	batch(true, "a", "b", "a")
	want := []spool.UnitRun{{Lane: 0, First: 3, Count: 2}, {Lane: 1, First: 1, Count: 1}}
	if got := unitsOf(t, l.s, 0); !reflect.DeepEqual(got, map[spool.Index][]spool.UnitRun{0: nil, 1: nil, 2: nil, 3: want, 4: nil}) {
		t.Errorf("units in a: %v", got)
	}
	if got := unitsOf(t, l.s, 1); !reflect.DeepEqual(got, map[spool.Index][]spool.UnitRun{0: nil, 1: want}) {
		t.Errorf("units in b: %v", got)
	}
}

func TestAUnitForTooManyTopicsIsRefusedWhole(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	b := &BatchInput{Unit: true}
	for i := range spool.MaxUnitRuns + 1 {
		b.Records = append(b.Records, RecordInput{Topic: fmt.Sprint("t", i), Partition: -1})
	}
	if _, err := l.s.AppendBatch(context.Background(), b); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if st, _ := l.s.Lanes(); st.Counters.Accepted != 0 {
		t.Errorf("%d records were taken", st.Counters.Accepted)
	}
}
