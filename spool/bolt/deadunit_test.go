package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// unitRig has units among the dead letters of a spool, and copies of the spool as a kill would have left it while they are sent again.
type unitRig struct {
	t *testing.T
	o Options
	l *testLoop

	mu     sync.Mutex // the committer makes copies
	copies []string
	armed  bool
}

func newUnitRig(t *testing.T) *unitRig {
	r := &unitRig{t: t, o: tinyOptions(t.TempDir())}
	r.o.MaxBatch = 64 << 10
	r.o.Faults = &Faults{Point: func(string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.armed {
			dir := t.TempDir()
			copyDir(t, r.o.Path, dir)
			r.copies = append(r.copies, dir)
		}
	}, Go: func(work func()) { work() }}
	r.l, _ = openLoop(t, r.o)
	r.l.write(&spool.Write{Transaction: &spool.Transaction{ID: "orders"}})
	return r
}

// kill is what a test has copies made for: from now on, or no more.
func (r *unitRig) kill(armed bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = armed
	copies := r.copies
	r.copies = nil
	return copies
}

func (r *unitRig) end(id spool.LaneID) spool.Index {
	r.l.s.view.RLock()
	defer r.l.s.view.RUnlock()
	return r.l.s.state.End(id)
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// unit spools one record for each of topics, in one unit, and makes all of them dead letters at one moment.
func (r *unitRig) unit(at int64, size int, doubt bool, topics ...string) {
	r.t.Helper()
	u := BeginUnit(r.l.s)
	for i, topic := range topics {
		v := fmt.Sprintf("%d.%d %s", at, i, strings.Repeat("x", size))
		if err := u.Stage(soon(r.t), []RecordInput{{Topic: topic, Timestamp: at, Partition: int32(i), Key: []byte("k"), Value: []byte(v)}}); err != nil {
			r.t.Fatal(err)
		}
	}
	tickets, err := u.Commit(soon(r.t), nil)
	if err == nil {
		err = tickets.Spooled(soon(r.t))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	w := &spool.Write{}
	next := map[string]spool.Index{}
	for i, topic := range topics {
		id := r.l.laneOf(topic)
		if _, ok := next[topic]; !ok {
			n := 0
			for _, other := range topics {
				if other == topic {
					n++
				}
			}
			next[topic] = r.end(id) - spool.Index(n)
		}
		x := next[topic]
		next[topic]++
		w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Lane: id, Index: x, Code: 10, At: at, InDoubt: doubt && i == 0})
		w.Settle = append(w.Settle, spool.Settlement{Lane: id, Spans: []spool.Span{{First: x, End: x + 1}}, Outcome: spool.OutcomeDeadLettered})
	}
	r.l.write(w)
}

// pending gives the values of what waits in a lane, without their padding, and the units that begin there.
func (r *unitRig) pending(l *testLoop, topic string) (values []string, units [][]spool.UnitRun) {
	id := l.laneOf(topic)
	all := readAll(r.t, l.s, id)
	marks := unitsOf(r.t, l.s, id)
	for i := spool.Index(0); len(all) > 0; i++ {
		if v, ok := all[i]; ok {
			v, _, _ = strings.Cut(v, " ")
			values = append(values, v)
			if marks[i] != nil {
				units = append(units, marks[i])
			}
			delete(all, i)
		}
	}
	return values, units
}

func (r *unitRig) replay(f DeadFilter, how Replay) (int, int, error) {
	return r.l.s.ReplayDead(soon(r.t), f, how)
}

func TestDeadLettersOfAUnitComeAgainAsOneUnit(t *testing.T) {
	r := newUnitRig(t)
	defer func() { r.l.close() }()
	r.unit(1, 10, false, "a", "b", "a")
	r.unit(2, 10, false, "b")
	r.unit(3, 10, false, "b", "a")
	if n, left, err := r.replay(DeadFilter{}, Replay{Timestamp: 99}); n != 6 || left != 0 || err != nil {
		t.Fatalf("%d are replayed, %d left, %v", n, left, err)
	}
	for range 2 {
		a, units := r.pending(r.l, "a")
		if want := []string{"1.0", "1.2", "3.1"}; !slices.Equal(a, want) || fmt.Sprint(units) != "[[{0 3 2} {1 3 1}] [{1 5 1} {0 5 1}]]" {
			t.Errorf("a has %v with units %v", a, units)
		}
		b, units := r.pending(r.l, "b")
		if want := []string{"1.1", "2.0", "3.0"}; !slices.Equal(b, want) || fmt.Sprint(units) != "[[{0 3 2} {1 3 1}] [{1 5 1} {0 5 1}]]" {
			t.Errorf("b has %v with units %v", b, units)
		}
		if n, _, err := r.replay(DeadFilter{}, Replay{}); n != 0 || err != nil {
			t.Errorf("%d are replayed again, %v", n, err)
		}
		r.l.close()
		r.l, _ = openLoop(t, r.o)
	}
}

func TestAPartOfAUnitIsReplayedOnlyByAWordForIt(t *testing.T) {
	r := newUnitRig(t)
	defer func() { r.l.close() }()
	r.unit(1, 10, false, "a", "b", "a", "c")
	r.unit(2, 10, false, "a", "b")
	for _, f := range []DeadFilter{{Topic: "a"}, {Topic: "c"}, {Serials: []uint64{1, 5}}} {
		n, _, err := r.replay(f, Replay{})
		if n != 0 || !errors.Is(err, ErrPartOfUnit) || !strings.Contains(err.Error(), "--whole-units") {
			t.Errorf("%+v: %d are replayed, %v", f, n, err)
		}
	}
	_, _, err := r.replay(DeadFilter{Serials: []uint64{2}}, Replay{})
	if want := "number 2 is of one with 4 records; not asked for: 1, 3, 4."; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if n, _, err := r.replay(DeadFilter{Topic: "c"}, Replay{WholeUnits: true}); n != 4 || err != nil {
		t.Errorf("%d are replayed with the whole unit, %v", n, err)
	}
	if c, units := r.pending(r.l, "c"); !slices.Equal(c, []string{"1.3"}) || len(units) != 1 {
		t.Errorf("c has %v with units %v", c, units)
	}
	// One is dropped: the unit cannot be whole any more, and what is left of it is a unit of its own.
	r.unit(3, 10, false, "a", "b", "a")
	list := r.l.s.DeadLetters(DeadFilter{}, -1)
	if n, err := r.l.s.DropDead(soon(t), DeadFilter{Serials: []uint64{list[3].Serial}}, Drop{DivideUnits: true}); n != 1 || err != nil {
		t.Fatalf("%d are dropped, %v", n, err)
	}
	_, _, err = r.replay(DeadFilter{}, Replay{WholeUnits: true})
	if !errors.Is(err, ErrPartOfUnit) || !strings.Contains(err.Error(), "no dead letters any more: 1. ") || strings.Contains(err.Error(), "--whole-units") {
		t.Errorf("%v", err)
	}
	if n, _, err := r.replay(DeadFilter{}, Replay{DivideUnits: true}); n != 4 || err != nil {
		t.Errorf("%d are replayed divided, %v", n, err)
	}
	if a, units := r.pending(r.l, "a"); !slices.Equal(a, []string{"1.0", "1.2", "2.0", "3.0", "3.2"}) || len(units) != 3 {
		t.Errorf("a has %v with units %v", a, units)
	}
}

func TestARecordInDoubtKeepsItsUnitADeadLetter(t *testing.T) {
	r := newUnitRig(t)
	defer r.l.close()
	r.unit(1, 10, true, "a", "b")
	r.unit(2, 10, false, "a", "b")
	if n, left, err := r.replay(DeadFilter{}, Replay{}); n != 2 || left != 2 || err != nil {
		t.Errorf("%d are replayed, %d left, %v", n, left, err)
	}
	if n, left, err := r.replay(DeadFilter{}, Replay{MayDuplicate: true}); n != 2 || left != 0 || err != nil {
		t.Errorf("%d are replayed, %d left, %v", n, left, err)
	}
}

// The records of a spool without a transactional id go one by one, as they came.
func TestWithoutATransactionalIdDeadLettersAreOfNoUnit(t *testing.T) {
	r := newUnitRig(t)
	defer r.l.close()
	r.unit(1, 10, false, "a", "b")
	r.l.write(&spool.Write{Transaction: &spool.Transaction{}})
	if n, _, err := r.replay(DeadFilter{Topic: "a"}, Replay{}); n != 1 || err != nil {
		t.Errorf("%d are replayed, %v", n, err)
	}
}

// One commit takes a small unit, several write a large one before the one that counts.
func TestAKillDuringAReplayLeavesUnitsWhole(t *testing.T) {
	for _, size := range []int{100, 30 << 10} {
		t.Run(fmt.Sprint("size=", size), func(t *testing.T) {
			r := newUnitRig(t)
			r.unit(1, size, false, "a", "b", "a", "b", "a")
			r.l.quiet()
			r.kill(true)
			if n, _, err := r.replay(DeadFilter{}, Replay{}); n != 5 || err != nil {
				t.Fatalf("%d are replayed, %v", n, err)
			}
			r.l.quiet()
			copies := r.kill(false)
			r.l.close()
			outcomes := map[string]int{}
			for _, dir := range append(copies, r.o.Path) {
				o := r.o
				o.Path, o.Adopt, o.Faults = dir, true, nil
				l, _ := openLoop(t, o)
				a, units := r.pending(l, "a")
				b, _ := r.pending(l, "b")
				dead := l.s.DeadLetters(DeadFilter{}, -1)
				if st, _ := l.s.Lanes(); int(st.Counters.Accepted) != 5+len(a)+len(b) || len(dead) != 5 && int(st.Counters.DeadLettered) != 5 {
					t.Errorf("counters %+v", st.Counters)
				}
				outcomes[fmt.Sprint(len(dead), a, b, units)]++
				l.close()
			}
			before, after := "5 [] [] []", "0 [1.0 1.2 1.4] [1.1 1.3] [[{0 3 3} {1 2 2}]]"
			if len(outcomes) != 2 || outcomes[before] == 0 || outcomes[after] == 0 {
				t.Errorf("kills leave %v", outcomes)
			}
		})
	}
}
