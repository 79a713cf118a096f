package bolt

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

// exported are the numbers and values of what an export yields.
func exported(t *testing.T, each func(DeadFilter, func(DeadLetter, []byte) (bool, error)) error, f DeadFilter) (out []string) {
	t.Helper()
	err := each(f, func(d DeadLetter, raw []byte) (bool, error) {
		e, _, err := spool.NextEntry(raw)
		if err != nil {
			return false, err
		}
		r, err := e.Record()
		v, _, _ := strings.Cut(string(r.Value), " ")
		out = append(out, fmt.Sprintf("%d=%s:%s", d.Serial, d.Topic, v))
		return true, err
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

// There is more than is in memory at once, in several segments.
func TestDeadLettersAreReadOneAfterTheOther(t *testing.T) {
	r := newUnitRig(t)
	var want, ofB []string
	for at := range int64(30) {
		r.unit(at, 30<<10, false, "a", "b")
		want = append(want, fmt.Sprintf("%d=a:%d.0", 2*at+1, at), fmt.Sprintf("%d=b:%d.1", 2*at+2, at))
		ofB = append(ofB, want[len(want)-1])
	}
	check := func(when string, each func(DeadFilter, func(DeadLetter, []byte) (bool, error)) error) {
		t.Helper()
		if got := exported(t, each, DeadFilter{}); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
		if got := exported(t, each, DeadFilter{Topic: "b", After: 10}); !slices.Equal(got, ofB[5:]) {
			t.Errorf("%s: of b %v, want %v", when, got, ofB[5:])
		}
		n := 0
		if err := each(DeadFilter{}, func(DeadLetter, []byte) (bool, error) { n++; return n < 5, nil }); n != 5 || err != nil {
			t.Errorf("%s: %d before it was stopped, %v", when, n, err)
		}
	}
	check("live", func(f DeadFilter, yield func(DeadLetter, []byte) (bool, error)) error {
		return EachDead(r.l.s, f, yield)
	})
	segments := len(r.l.s.sealed)
	// What comes meanwhile is left out, and so may be what goes.
	seen := 0
	err := EachDead(r.l.s, DeadFilter{}, func(d DeadLetter, _ []byte) (bool, error) {
		if seen++; seen == 1 {
			r.unit(100, 10, false, "c", "c")
			if n, err := r.l.s.DropDead(soon(t), DeadFilter{Serials: []uint64{59, 60}}, Drop{}); n != 2 || err != nil {
				t.Errorf("%d are dropped, %v", n, err)
			}
		}
		return d.Topic != "c", nil
	})
	if seen != 58 || err != nil {
		t.Errorf("%d are read, %v", seen, err)
	}
	want, ofB = append(want[:58], "61=c:100.0", "62=c:100.1"), ofB[:29]
	r.l.close()
	in, err := Look(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	check("offline", in.EachDead)
	for _, serial := range []uint64{1, 58, 62} {
		list, err := in.DeadLetters(DeadFilter{Serials: []uint64{serial}}, 1)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		if raw, err := in.DeadEntry(list[0].Lane, list[0].Index); len(raw) == 0 || err != nil {
			t.Errorf("number %d: %v", serial, err)
		}
	}
	if segments < 2 {
		t.Errorf("%d older segments: the test wants several", segments)
	}
}

// Dead letters are found in mapped pages: one that cannot be read, as after a disk has lost it, must not end the process.
func TestAPageThatCannotBeReadIsAnErrorOfTheReaderOfDeadLetters(t *testing.T) {
	r := newUnitRig(t)
	r.unit(1, 30<<10, false, "a", "b")
	list := r.l.s.DeadLetters(DeadFilter{}, -1)
	if len(list) != 2 {
		t.Fatalf("%d dead letters", len(list))
	}
	path := segmentFile(r.o.Path, r.l.s.active.number)
	whole, err := os.ReadFile(path)
	if err == nil {
		err = os.Truncate(path, 2*pageSize)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, one := r.l.s.DeadEntry(list[0].Lane, list[0].Index)
	all := EachDead(r.l.s, DeadFilter{}, func(DeadLetter, []byte) (bool, error) { return true, nil })
	if err := os.WriteFile(path, whole, 0o600); err != nil { // for the end of the test
		t.Fatal(err)
	}
	if one == nil || all == nil {
		t.Errorf("DeadEntry = %v, EachDead = %v, want errors", one, all)
	}
}
