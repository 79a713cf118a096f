package accumulator

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/spool"
)

// The numbers are Kafka's own (RecordAccumulatorTest.testAdaptiveBuiltInPartitioner).
func TestAPartitionIsChosenMoreOftenTheShorterItsQueueIs(t *testing.T) {
	for _, tt := range []struct {
		name         string
		queues, want []int
		uniform      bool
	}{
		{"Kafka's example", []int{5, 0, 3, 0, 1}, []int{1, 6, 3, 6, 5}, false},
		{"equal queues", []int{2, 2, 2}, []int{1, 1, 1}, false},
		{"one is left out", []int{4, leftOut, 0}, []int{1, 0, 5}, false},
		{"not adaptive", []int{5, 0, leftOut, 0, 1}, []int{1, 1, 0, 1, 1}, true},
		{"all are left out", []int{leftOut, leftOut}, []int{0, 0}, false},
		{"there is none", nil, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var each []int
			before := 0
			for _, upTo := range frequencies(nil, tt.queues, tt.uniform) {
				each, before = append(each, upTo-before), upTo
			}
			if !slices.Equal(each, tt.want) {
				t.Errorf("queues %v: frequencies %v, want %v", tt.queues, each, tt.want)
			}
		})
	}
}

func TestRunsAreSpreadByTheFrequencies(t *testing.T) {
	for _, tt := range []struct {
		uniform bool
		want    []int
	}{{false, []int{1000, 6000, 3000, 6000, 5000}}, {true, []int{4200, 4200, 4200, 4200, 4200}}} {
		a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20, Seed: 1, Uniform: tt.uniform})
		l := lane(a, 5)
		for n, batches := range []int{5, 0, 3, 0, 1} {
			l.parts[n].queue = make([]*Batch, batches)
		}
		var picked [5]int
		for range 21_000 {
			picked[l.pick(a)]++
		}
		for n, times := range picked {
			if want := tt.want[n]; times < want*85/100 || times > want*115/100 {
				t.Errorf("uniform %v: partition %d was picked %d times, want about %d: %v", tt.uniform, n, times, want, picked)
			}
		}
	}
}

func TestOnlyPartitionsThatCanBeWrittenToArePicked(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20, Seed: 1})
	l := lane(a, 5)
	pick := func(times int) (picked [5]int) {
		for range times {
			picked[l.pick(a)]++
		}
		return picked
	}
	for _, n := range []int32{0, 2, 4} {
		l.Block(a, l.Partition(n), true)
	}
	if p := pick(4000); p[0]+p[2]+p[4] != 0 || p[1] < 1800 || p[3] < 1800 {
		t.Errorf("picked %v, want 1 and 3, each about half of the times", p)
	}
	l.Block(a, l.Partition(1), true)
	l.Block(a, l.Partition(3), true)
	if l.Writable() {
		t.Error("writable, with every partition blocked")
	}
	if p := pick(5000); slices.Min(p[:]) < 800 {
		t.Errorf("picked %v with every partition blocked, want each about 1000 times", p)
	}
}

// stalling has broker 1 lead partitions 0 and 1, broker 2 partition 2, and a batch ready for partition 0 since Age 1000.
func stalling(t *testing.T, timeout int64) (*Accumulator, *Lane) {
	t.Helper()
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20, Seed: 1, AvailabilityMs: timeout})
	l := lane(a, 3)
	for n, broker := range []int32{1, 1, 2} {
		a.Led(l.parts[n], broker)
	}
	if !l.parts[0].add(a, 1000, 0, &spool.Entry{Body: make([]byte, 50)}) {
		t.Fatal("no room")
	}
	if ready, _ := l.parts[0].Ready(a, 1000); !ready {
		t.Fatal("not ready")
	}
	return a, l
}

// picks is which partitions are picked at Age now.
func picks(a *Accumulator, l *Lane, now int64) (picked []int32) {
	a.now = now
	for range 200 {
		if n := l.pick(a); !slices.Contains(picked, n) {
			picked = append(picked, n)
		}
	}
	slices.Sort(picked)
	return picked
}

func TestABrokerThatTakesNothingForTooLongIsLeftOut(t *testing.T) {
	all := []int32{0, 1, 2}
	a, l := stalling(t, 500)
	if got := picks(a, l, 1500); !slices.Equal(got, all) {
		t.Errorf("after 500 ms partitions %v are picked, want all", got)
	}
	if got := picks(a, l, 1501); !slices.Equal(got, []int32{2}) {
		t.Errorf("after 501 ms partitions %v are picked, want that of the other broker", got)
	}
	a.Recycle(l.parts[0].Pop(a))
	if got := picks(a, l, 1501); !slices.Equal(got, all) {
		t.Errorf("after a batch was taken partitions %v are picked, want all", got)
	}
	if a, l = stalling(t, 0); !slices.Equal(picks(a, l, 1<<40), all) {
		t.Error("a broker is left out although partitioner.availability.timeout.ms is 0")
	}
}

func TestNothingIsLeftOutForBatchesThatAreGone(t *testing.T) {
	all := []int32{0, 1, 2}
	a, l := stalling(t, 500)
	l.Evict(a, l.parts[0])
	if got := picks(a, l, 9000); !slices.Equal(got, all) {
		t.Errorf("after the batch was given back partitions %v are picked, want all", got)
	}
	a, l = stalling(t, 500)
	a.Led(l.parts[0], 2)
	if got := picks(a, l, 9000); !slices.Equal(got, []int32{1}) && !slices.Equal(got, []int32{0, 1, 2}) {
		t.Errorf("after its partition moved %v are picked", got)
	}
	if d := a.drains[1]; d.waiting != 0 {
		t.Errorf("%d partitions wait for the former leader", d.waiting)
	}
	a.Led(l.parts[1], 2) // all are stalled now: one of them all the same
	if got := picks(a, l, 9000); !slices.Equal(got, all) {
		t.Errorf("with one broker that takes nothing partitions %v are picked, want all", got)
	}
}

// What waits for a partition without a leader says nothing of any broker.
func TestNoBrokerIsLeftOutForWhatHasNoLeader(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20, Seed: 1, AvailabilityMs: 500})
	l := lane(a, 3)
	for n, broker := range []int32{0, 1, 2} {
		if n > 0 {
			a.Led(l.parts[n], broker)
		}
	}
	if !l.parts[0].add(a, 1000, 0, &spool.Entry{Body: make([]byte, 50)}) {
		t.Fatal("no room")
	}
	l.parts[0].Ready(a, 1000)
	if got := picks(a, l, 9000); !slices.Equal(got, []int32{1, 2}) {
		t.Errorf("partitions %v are picked, want those that have a leader", got)
	}
}

func TestOfNoPartitionsNoneIsPicked(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20})
	for _, n := range []int32{0, 3} {
		if k, ok := a.Pick(n, func(int32) int { return leftOut }); ok {
			t.Errorf("of %d partitions, all left out, %d is picked", n, k)
		}
	}
}
