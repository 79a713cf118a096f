package accumulator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// keyed is an entry with a key that is spread to another partition of 2 than of 3.
func keyed(t *testing.T) *spool.Entry {
	t.Helper()
	for i := range 100 {
		key := fmt.Appendf(nil, "key-%d", i)
		if h := int32(protocol.Murmur2(key) & 0x7fffffff); h%2 != h%3 {
			return &spool.Entry{Partition: -1, HasKey: true, Key: key}
		}
	}
	t.Fatal("no such key")
	return nil
}

func TestAKeyGoesByTheCountThatWasKnownWhereItsEntryStands(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	l := lane(a, 2)
	l.facts.Counts = []spool.CountFact{{From: 0, Count: 2}, {From: 10, Count: 3}, {From: 20, Count: 5}}
	l.frontier = 30
	l.SetPartitions(7)
	for i, want := range map[spool.Index]int32{0: 2, 9: 2, 10: 3, 19: 3, 20: 5, 29: 5} {
		if got := l.countAt(a, i); got != want {
			t.Errorf("entry %d is spread over %d partitions, want %d", i, got, want)
		}
	}
	if f, fresh := l.FreshFacts(); fresh {
		t.Errorf("new facts below the frontier: %+v", f)
	}
	if got := l.countAt(a, 30); got != 7 {
		t.Errorf("entry 30 is spread over %d partitions, want 7", got)
	}
	f, fresh := l.FreshFacts()
	if want := []spool.CountFact{{From: 30, Count: 7}}; !fresh || !slices.Equal(f.Counts, want) {
		t.Errorf("new facts %+v, want %+v", f.Counts, want)
	}
	if got := l.countAt(a, 40); got != 7 {
		t.Errorf("entry 40 is spread over %d partitions, want 7", got)
	}
	if f, fresh := l.FreshFacts(); fresh || l.KnownPartitions() != 7 {
		t.Errorf("the same count is a new fact: %+v; at most %d", f, l.KnownPartitions())
	}
}

// A new fact begins at the frontier or above it, and never below where the last one begins.
func TestANewCountBeginsNowhereBelowTheFrontier(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	e := keyed(t)
	l := lane(a, 2)
	first := l.choose(a, 5, e).ID // of all: it holds from the lane's beginning on
	if f, _ := l.FreshFacts(); !slices.Equal(f.Counts, []spool.CountFact{{From: 0, Count: 2}}) {
		t.Errorf("the first fact is %+v", f.Counts)
	}
	l.frontier = 6
	l.SetPartitions(3)
	if got := l.choose(a, 5, e).ID; got != first {
		t.Errorf("entry 5 goes to partition %d, and went to %d before the topic grew", got, first)
	}
	if got := l.choose(a, 6, e).ID; got == first {
		t.Errorf("entry 6 goes to partition %d, as before the topic grew", got)
	}
}

// A lane that is read again puts each entry where it was put before.
func TestARunIsFoundAgainFromAnywhere(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	l := lane(a, 4)
	l.facts.Sticky = []spool.StickyFact{{From: 0, Partition: 2}, {From: 10, Partition: 0}, {From: 20, Partition: 3}}
	l.frontier = 30
	want := func(i spool.Index) int32 {
		switch {
		case i < 10:
			return 2
		case i < 20:
			return 0
		}
		return 3
	}
	for i := range spool.Index(30) { // from each to each other
		for k := range spool.Index(30) {
			l.stickyFor(a, i, 10)
			if got := l.stickyFor(a, k, 10); got != want(k) {
				t.Fatalf("entry %d behind entry %d goes to partition %d, want %d", k, i, got, want(k))
			}
		}
	}
	l.stickyAt = 7 // of a lane with more runs
	if got := l.stickyFor(a, 0, 10); got != 2 {
		t.Errorf("entry 0 goes to partition %d, want 2", got)
	}
	if _, fresh := l.FreshFacts(); fresh {
		t.Error("new facts below the frontier")
	}
}

func TestARunEndsWhenItsBatchIsFullOrItsPartitionStuck(t *testing.T) {
	const size = 1000
	tests := []struct {
		name    string
		prepare func(a *Accumulator, l *Lane)
		ends    bool
	}{
		{"it goes on", func(*Accumulator, *Lane) {}, false},
		{"it had its share, and no batch is open", func(_ *Accumulator, l *Lane) { l.runBytes = size }, true},
		{"one byte less than its share", func(_ *Accumulator, l *Lane) { l.runBytes = size - 1 }, false},
		{"it had its share, and a batch is open", func(_ *Accumulator, l *Lane) {
			l.runBytes = size
			l.parts[1].queue = []*Batch{{Buf: make([]byte, 100)}}
		}, false},
		{"it had twice its share, and a batch is open", func(_ *Accumulator, l *Lane) {
			l.runBytes = 2 * size
			l.parts[1].queue = []*Batch{{Buf: make([]byte, 100)}}
		}, true},
		{"the open batch holds it to the last byte", func(_ *Accumulator, l *Lane) {
			l.runBytes = size
			l.parts[1].queue = []*Batch{{Buf: make([]byte, size-50)}}
		}, false},
		{"it had its share, and the open batch has no room", func(_ *Accumulator, l *Lane) {
			l.runBytes = size
			l.parts[1].queue = []*Batch{{Buf: make([]byte, size-49)}}
		}, true},
		{"the open batch has no room, and it had less than its share", func(_ *Accumulator, l *Lane) {
			l.runBytes = size - 1
			l.parts[1].queue = []*Batch{{Buf: make([]byte, size-49)}}
		}, false},
		{"the partition cannot be written to", func(a *Accumulator, l *Lane) { l.Block(a, l.parts[1], true) }, true},
		{"no partition can", func(a *Accumulator, l *Lane) {
			for _, p := range l.parts {
				l.Block(a, p, true)
			}
		}, false},
		{"there is but one partition", func(_ *Accumulator, l *Lane) {
			l.runBytes, l.count = 2*size, 1
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(20) {
				a := New(Config{BatchSize: size, BufferMemory: 1 << 20, Seed: seed})
				l := lane(a, 8)
				l.facts.Sticky = []spool.StickyFact{{From: 0, Partition: 1}}
				l.frontier = 10
				tt.prepare(a, l)
				record := 50
				if p := l.parts[1]; !tt.ends && (p.Empty() || p.overflows(a, 50)) {
					record += protocol.BatchHeaderSize
				}
				before := l.runBytes
				got := l.stickyFor(a, 10, 50)
				if !tt.ends && (got != 1 || len(l.facts.Sticky) != 1 || l.runBytes != before+record) {
					t.Fatalf("seed %d: partition %d, %d runs, %d bytes in it; want the same run", seed, got, len(l.facts.Sticky), l.runBytes)
				}
				if tt.ends && l.runBytes != 50+protocol.BatchHeaderSize {
					t.Fatalf("seed %d: %d bytes in the run, want a new one", seed, l.runBytes)
				}
				f, fresh := l.FreshFacts()
				if fresh != (got != 1) || fresh && (f.Sticky[0] != spool.StickyFact{From: 10, Partition: got} || l.stickyAt != 1) {
					t.Fatalf("seed %d: new facts %+v, partition %d, the run used last is %d", seed, f.Sticky, got, l.stickyAt)
				}
			}
		})
	}
}

// Law: below the frontier an entry's partition is known without anything being decided, and it is the one that the entry gets.
func TestAnEntrysPartitionIsKnownBelowTheFrontier(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	key := keyed(t)
	l := lane(a, 7)
	l.facts = spool.Facts{
		Counts: []spool.CountFact{{From: 10, Count: 3}, {From: 20, Count: 5}},
		Sticky: []spool.StickyFact{{From: 5, Partition: 2}, {From: 15, Partition: 6}},
	}
	l.frontier = 30
	for i := range spool.Index(35) {
		for _, tt := range []struct {
			name   string
			e      *spool.Entry
			placed bool
		}{
			{"with a partition", &spool.Entry{Partition: 0}, true},
			{"with a key", key, i >= 10 && i < 30},
			{"with neither", &spool.Entry{Partition: -1}, i >= 5 && i < 30},
		} {
			n, ok := l.PlacedAt(a.cfg.Partitioner, i, tt.e)
			if ok != tt.placed {
				t.Errorf("entry %d %s: placed %v, want %v", i, tt.name, ok, tt.placed)
			}
			if ok && n != l.choose(a, i, tt.e).ID {
				t.Errorf("entry %d %s: partition %d, and it gets %d", i, tt.name, n, l.choose(a, i, tt.e).ID)
			}
		}
	}
}

// What was chosen for an entry that had no room is chosen anew while nothing is sealed by it.
func TestAnEntryThatWasNotTakenIsPlacedAnew(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20, Seed: 1})
	l := lane(a, 2)
	l.facts.Counts, l.frontier = []spool.CountFact{{From: 0, Count: 1}}, 5
	if got := l.countAt(a, 5); got != 2 {
		t.Fatalf("entry 5 is spread over %d partitions", got)
	}
	l.SetPartitions(3)
	if got := l.countAt(a, 5); got != 3 {
		t.Errorf("entry 5 is spread over %d partitions, and the topic has 3 by now", got)
	}
	l.facts.Sticky = []spool.StickyFact{{From: 0, Partition: 0}, {From: 5, Partition: 1}}
	l.Block(a, l.Partition(1), true)
	if got := l.stickyFor(a, 5, 100); got == 1 {
		t.Error("entry 5 is put where nothing can be written")
	}
}

func TestTheOldestCountHoldsForWhatLiesBelowIt(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	l := lane(a, 7)
	l.facts.Counts, l.frontier = []spool.CountFact{{From: 10, Count: 3}}, 30
	if got := l.countAt(a, 5); got != 3 {
		t.Errorf("entry 5 is spread over %d partitions, want 3", got)
	}
}

// Facts that no Write holds are handed out once, by lane.
func TestFreshFactsAreHandedOutOnceByLane(t *testing.T) {
	a := New(Config{BatchSize: 1 << 16, BufferMemory: 1 << 20})
	lanes := make([]*Lane, 3)
	for id := range lanes {
		lanes[id] = NewLane(spool.LaneID(id), "t", 0, 0, spool.Facts{})
		lanes[id].SetPartitions(2)
	}
	for _, id := range []int{2, 0} {
		lanes[id].choose(a, 0, keyed(t))
	}
	lanes[2].choose(a, 1, &spool.Entry{Partition: -1})
	var got []spool.LaneID
	take := func(f spool.LaneFacts) {
		if got = append(got, f.Lane); len(f.Counts) != 1 || len(f.Sticky) != int(f.Lane)/2 {
			t.Errorf("lane %d: %+v, want a count, and a run in lane 2", f.Lane, f.Facts)
		}
	}
	a.FreshFacts(take)
	a.FreshFacts(take)
	if !slices.Equal(got, []spool.LaneID{0, 2}) {
		t.Errorf("facts of lanes %v, want 0 and 2", got)
	}
}

// Runs below what has left are forgotten once they are many, or half of all: each time takes a copy of the rest.
func TestRunsThatHaveLeftAreForgotten(t *testing.T) {
	for _, tt := range []struct {
		runs    int
		settled spool.Index
		left    int
	}{
		{4, 9, 4}, {4, 19, 4}, {4, 20, 2}, {4, 1000, 1}, {1, 1000, 1}, {0, 1000, 0}, {300, 639, 300}, {300, 640, 236},
	} {
		l := NewLane(0, "t", 0, 0, spool.Facts{})
		for n := range tt.runs {
			l.facts.Sticky = append(l.facts.Sticky, spool.StickyFact{From: spool.Index(10 * n), Partition: int32(n)})
		}
		l.prune(tt.settled)
		if s := l.facts.Sticky; len(s) != tt.left || tt.left > 0 && s[0].Partition != int32(tt.runs-tt.left) {
			t.Errorf("%d runs of 10 entries, settled below %d: %d are left, want %d", tt.runs, tt.settled, len(s), tt.left)
		}
	}
}
