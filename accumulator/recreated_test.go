package accumulator

import (
	"fmt"
	"testing"

	"github.com/spoold/spoold/spool"
)

// After a topic was created anew its lane begins again at the lowest record that has not left. Those above it that have
// must not go out once more.
func TestALaneWhoseTopicIsANewOneHandsOutNothingThatHasLeft(t *testing.T) {
	a := New(Config{BatchSize: 4096, BufferMemory: 1 << 20})
	l := lane(a, 2)
	lg := &log{}
	for i := range 10 {
		lg.add(nil, fmt.Appendf(nil, "%d", i), int32(i%2))
	}
	feedAll(t, a, l, lg)
	for _, p := range []int32{0, 1} { // all are sealed, then all settled but for record 3, which is given back
		l.Partition(p).Pop(a)
	}
	l.Return(a, l.Partition(1), []spool.Span{{First: 3, End: 4}})
	l.ResetFacts(a, 2)
	for _, p := range []int32{0, 1} {
		l.Block(a, l.Partition(p), false)
	}
	// A spool may still have in a section what has left: it is given whole.
	if _, err := l.Feed(a, 0, lg.from(0, lg.end())); err != nil {
		t.Fatal(err)
	}
	for _, p := range []int32{0, 1} {
		for b := l.Partition(p).Head(); b != nil; b = l.Partition(p).Head() {
			if l.Partition(p).Pop(a); p != 1 || b.Count != 1 || b.Spans[0].First != 3 {
				t.Errorf("partition %d got %v, want record 3 alone on partition 1", p, b.Spans)
			}
		}
	}
}

// A start may learn of the former topic's partitions from a broker that knows fewer of them than records were spread over.
// Found by the simulated world: what waited for the others was never handed out again when the topic was created anew.
func TestANewTopicGetsWhatWaitedForPartitionsThatAreNotThere(t *testing.T) {
	a := New(Config{BatchSize: 4096, BufferMemory: 1 << 20})
	l := NewLane(0, "t", 0, 6, spool.Facts{Counts: []spool.CountFact{{From: 0, Count: 5}}})
	lg := &log{}
	for i := range 6 {
		lg.add(fmt.Appendf(nil, "key %d", i), nil, -1)
	}
	l.SetPartitions(1)
	l.End = lg.end()
	if _, err := l.Feed(a, 0, lg.from(0, lg.end())); err != nil {
		t.Fatal(err)
	}
	if _, absent := l.AbsentPartition(); !absent {
		t.Fatal("no key leads to a partition above the first: nothing is tested")
	}
	l.ResetFacts(a, 1)
	if a.Used() != 0 {
		t.Errorf("%d bytes are still counted", a.Used())
	}
	l.Block(a, l.Partition(0), false)
	if all, err := l.Feed(a, 0, lg.from(0, lg.end())); err != nil || !all {
		t.Fatal(all, err)
	}
	if b := l.Partition(0).Head(); b == nil || int(b.Count) != len(lg.entries) {
		t.Errorf("partition 0 got %+v, want all %d records", b, len(lg.entries))
	}
}
