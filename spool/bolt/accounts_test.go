package bolt

import (
	"fmt"
	"maps"
	"testing"

	"github.com/spoold/spoold/spool"
)

// accounts are what a store counts and does not look up again until it is opened: the size of segments, the room that is had
// ahead and the limits go by it.
type accounts struct {
	head       spool.Head
	stateBytes int64
	hwm        int64
	blockBytes int64                  // pages of blocks
	laneBytes  map[spool.LaneID]int64 // entries
	keyBytes   int64
	deadBytes  int64
	marks      int
}

func (a accounts) String() string {
	return fmt.Sprintf("head %+v, state %d, in use %d, blocks %d, lanes %v, keys %d, dead letters %d in %d marks",
		a.head, a.stateBytes, a.hwm, a.blockBytes, a.laneBytes, a.keyBytes, a.deadBytes, a.marks)
}

// accountsOf are those of a store that is quiet.
func accountsOf(s *Store) accounts {
	a := s.active
	return accounts{a.head, a.stateBytes, a.hwm, a.index.bytes, lanesOf(a.index), a.keyBytes, s.dead.deadBytes, len(s.dead.marks)}
}

func lanesOf(x *index) map[spool.LaneID]int64 {
	out := map[spool.LaneID]int64{}
	for id, l := range x.lanes {
		if l.bytes != 0 {
			out[id] = l.bytes
		}
	}
	return out
}

// accountsIn are those that a start makes of the files. Nobody may have them open.
func accountsIn(t testing.TB, dir string) accounts {
	t.Helper()
	in, err := Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f := in.found
	f.index.sweep(f.state) // as the first commit of a start does
	a := accounts{f.head, f.stateBytes, f.hwm, f.index.bytes, lanesOf(f.index), 0, 0, 0}
	for _, k := range f.keys {
		if k.segment == f.number {
			a.keyBytes += int64(k.size) + keyBlockRoom
		}
		for _, m := range k.marks {
			if f.state.DeadLettered(m.Lane, m.Index) {
				a.deadBytes += m.Bytes
				a.marks++
			}
		}
	}
	return a
}

// sameAccounts compares what a store counted, which is closed since, with what a start makes of its files.
func sameAccounts(t testing.TB, what, dir string, counted accounts) {
	t.Helper()
	got := accountsIn(t, dir)
	lanes := maps.Equal(got.laneBytes, counted.laneBytes)
	if !lanes || got.String() != counted.String() {
		t.Fatalf("%s: what is counted is not what a start finds:\ncounted %v\nfound   %v\nlanes the same: %v", what, counted, got, lanes)
	}
}
