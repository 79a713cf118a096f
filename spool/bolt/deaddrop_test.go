package bolt

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

func serials(s *Store) (out []uint64) {
	for _, d := range s.DeadLetters(DeadFilter{}, -1) {
		out = append(out, d.Serial)
	}
	return out
}

func TestAPartOfAUnitIsDroppedOnlyByAWordForIt(t *testing.T) {
	r := newUnitRig(t)
	defer r.l.close()
	drop := func(f DeadFilter, how Drop) (int, error) { return r.l.s.DropDead(soon(t), f, how) }
	r.unit(1, 10, false, "a", "b", "a", "c") // 1 to 4
	r.unit(2, 10, false, "a", "b")           // 5 and 6
	r.unit(3, 10, false, "a", "b")           // 7 and 8
	r.unit(4, 10, false, "a")                // 9
	for _, f := range []DeadFilter{{Topic: "a"}, {Topic: "c"}, {Serials: []uint64{1, 5, 6}}} {
		n, err := drop(f, Drop{})
		if n != 0 || !errors.Is(err, ErrPartOfUnit) || !strings.Contains(err.Error(), "--whole-units drops") {
			t.Errorf("%+v: %d are dropped, %v", f, n, err)
		}
	}
	_, err := drop(DeadFilter{Serials: []uint64{2, 9}}, Drop{})
	if want := "number 2 is of one with 4 records; not asked for: 1, 3, 4. "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if got := serials(r.l.s); len(got) != 9 {
		t.Fatalf("%v are left of 9", got)
	}
	steps := []struct {
		f    DeadFilter
		how  Drop
		n    int
		left []uint64
	}{
		{DeadFilter{Serials: []uint64{5, 6, 9}}, Drop{}, 3, []uint64{1, 2, 3, 4, 7, 8}}, // what is whole needs no word
		{DeadFilter{Serials: []uint64{8}}, Drop{DivideUnits: true}, 1, []uint64{1, 2, 3, 4, 7}},
		{DeadFilter{Serials: []uint64{7}}, Drop{}, 1, []uint64{1, 2, 3, 4}}, // all that is left of it
		{DeadFilter{Topic: "c"}, Drop{WholeUnits: true}, 4, nil},
	}
	for i, x := range steps {
		n, err := drop(x.f, x.how)
		if got := serials(r.l.s); n != x.n || err != nil || !slices.Equal(got, x.left) {
			t.Errorf("step %d: %d are dropped, %v are left, %v; want %d and %v", i, n, got, err, x.n, x.left)
		}
	}
}

// Dead letters that make room for others go with their units, also those that a start has found.
func TestTheOldestDeadLettersAreDroppedByWholeUnits(t *testing.T) {
	r := newUnitRig(t)
	r.o.DeadBytes, r.o.Faults = 4000, nil
	r.l.close()
	r.l, _ = openLoop(t, r.o)
	defer func() { r.l.close() }()
	begin := map[uint64]bool{} // numbers that are the first of a unit
	next := uint64(1)
	for at := range int64(60) {
		topics := []string{"a", "b", "a", "c", "d", "d", "d"}[:1+at%7]
		begin[next] = true
		next += uint64(len(topics))
		if at == 30 {
			r.l.close()
			r.l, _ = openLoop(t, r.o)
		}
		r.unit(at, 200, false, topics...)
		left := serials(r.l.s)
		sum := int64(0)
		for _, d := range r.l.s.DeadLetters(DeadFilter{}, -1) {
			sum += d.Bytes
		}
		if sum > r.o.DeadBytes || at > 10 && len(left) < 7 {
			t.Fatalf("after %d units the dead letters %v take %d bytes", at+1, left, sum)
		}
		if !begin[left[0]] || left[0]+uint64(len(left)) != next {
			t.Fatalf("after %d units, with numbers up to %d, these are left: %v", at+1, next-1, left)
		}
	}
	if n, _, err := r.replay(DeadFilter{}, Replay{}); n < 7 || err != nil {
		t.Errorf("%d are replayed, %v", n, err)
	}
}

// More dead letters than one commit drops.
func TestAKillDuringADropLeavesUnitsWhole(t *testing.T) {
	const each = dropStep/4 + 500
	r := newUnitRig(t)
	records := make([]RecordInput, each)
	for i := range records {
		records[i] = RecordInput{Topic: "a", Partition: -1, Value: []byte("v")}
	}
	for n := range spool.Index(4) {
		u := BeginUnit(r.l.s)
		if err := u.Stage(soon(t), records); err != nil {
			t.Fatal(err)
		}
		tickets, err := u.Commit(soon(t), nil)
		if err == nil {
			err = tickets.Spooled(soon(t))
		}
		if err != nil {
			t.Fatal(err)
		}
		w := &spool.Write{}
		for i := n * each; i < (n+1)*each; i++ {
			w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Index: i, Code: 10, At: int64(n)})
		}
		w.Settle = []spool.Settlement{{Spans: []spool.Span{{First: n * each, End: (n + 1) * each}}, Outcome: spool.OutcomeDeadLettered}}
		r.l.write(w)
	}
	r.l.quiet()
	r.kill(true)
	if n, err := r.l.s.DropDead(soon(t), DeadFilter{}, Drop{}); n != 4*each || err != nil {
		t.Fatalf("%d are dropped, %v", n, err)
	}
	r.l.quiet()
	copies := r.kill(false)
	r.l.close()
	outcomes := map[int]int{}
	for _, dir := range append(copies, r.o.Path) {
		o := r.o
		o.Path, o.Adopt, o.Faults = dir, true, nil
		l, _ := openLoop(t, o)
		outcomes[len(serials(l.s))]++
		l.close()
	}
	if len(outcomes) != 3 || outcomes[4*each] == 0 || outcomes[each] == 0 || outcomes[0] == 0 {
		t.Errorf("kills leave %v", outcomes)
	}
}

// What cannot be read can be given up.
func TestDeadLettersThatAreDamagedCanBeDropped(t *testing.T) {
	r := newUnitRig(t)
	defer func() { r.l.close() }()
	r.unit(1, 10, false, "a", "b")
	r.unit(2, 10, false, "a", "b")
	r.l.quiet()
	path := segmentFile(r.o.Path, r.l.s.active.number)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, n := 0, bytes.Index(file, []byte("1.1 x")); n >= 0; n = bytes.Index(file[at:], []byte("1.1 x")) {
		if _, err := f.WriteAt([]byte("?"), int64(at+n)); err != nil {
			t.Fatal(err)
		}
		at += n + 1
	}
	if _, err := r.l.s.DropDead(soon(t), DeadFilter{Serials: []uint64{1}}, Drop{}); err == nil || !strings.Contains(err.Error(), "--divide-units") {
		t.Errorf("what is read of a damaged unit: %v", err)
	}
	if n, err := r.l.s.DropDead(soon(t), DeadFilter{Serials: []uint64{1}}, Drop{DivideUnits: true}); n != 1 || err != nil {
		t.Errorf("%d are dropped, %v", n, err)
	}
	if n, err := r.l.s.DropDead(soon(t), DeadFilter{}, Drop{}); n != 3 || err != nil {
		t.Errorf("%d are dropped, %v", n, err)
	}
}
