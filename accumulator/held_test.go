package accumulator

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/spool"
)

func TestWakesAreNeverZeroAndNeverTheSame(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20})
	seen := []uint64{0}
	for range 4 {
		if n := a.Wakes(); slices.Contains(seen, n) {
			t.Errorf("wakes %d after %v", n, seen)
		}
		seen = append(seen, a.Wakes())
		a.WakeLanes()
	}
}

// What waits for blocked partitions is counted whether it came before or after they were blocked, and can be given back. What it
// was is handed out again once they can be written to.
func TestWhatIsHeldForBlockedPartitionsCanBeGivenBack(t *testing.T) {
	a := New(Config{BatchSize: 300, BufferMemory: 1 << 20})
	l := lane(a, 3)
	lg := &log{}
	fill := func() {
		for i := range 9 {
			lg.add(nil, make([]byte, 30), int32(i%3))
		}
		feedAll(t, a, l, lg)
	}
	fill()
	if a.Held() != 0 {
		t.Errorf("%d bytes are held, and nothing is blocked", a.Held())
	}
	l.Block(a, l.Partition(1), true)
	fill()
	if a.Held() == 0 || a.Held() != l.Partition(1).Queued() {
		t.Errorf("%d bytes are held, %d wait for the blocked partition", a.Held(), l.Partition(1).Queued())
	}
	l.Block(a, l.Partition(1), false)
	if a.Held() != 0 {
		t.Errorf("%d bytes are held, and nothing is blocked any more", a.Held())
	}
	l.Block(a, l.Partition(1), true)
	l.Block(a, l.Partition(1), true) // again changes nothing
	used, free := a.Used(), cap(l.Partition(1).queue[0].Buf)
	for range 2 {
		a.EvictBlocked()
		if a.Held() != 0 || a.Used() > used-free || !l.Partition(1).Empty() || l.Partition(0).Empty() {
			t.Errorf("%d bytes are held, %d of %d used", a.Held(), a.Used(), used)
		}
	}
	l.Block(a, l.Partition(1), false)
	back := 0
	a.Rewinds(func(*Lane) { back++ })
	a.Rewinds(func(*Lane) { back++ })
	if all := feedAll(t, a, l, lg); !all || back != 1 || l.Partition(1).Head() == nil || l.Partition(1).Head().Spans[0].First != 1 {
		t.Errorf("the cursor went back %d times, then all was taken %v; the head is %+v", back, all, l.Partition(1).Head())
	}
	l.Block(a, l.Partition(1), true)
	if a.EvictBlocked(); !l.Partition(1).Empty() {
		t.Error("what is held is not given back for a second time")
	}
}

// A partition that the topic does not have cannot be written to, whatever is said of it; what waits for it can be given back.
func TestPartitionsThatATopicDoesNotHaveAreBlocked(t *testing.T) {
	a := New(Config{BatchSize: 300, BufferMemory: 1 << 20})
	l := lane(a, 2)
	for _, n := range []int32{2, 9} {
		l.Partition(n)
		l.Block(a, l.Partition(n), false)
	}
	if n, ok := l.AbsentPartition(); ok {
		t.Errorf("partition %d is meant by no record", n)
	}
	for _, n := range []int32{0, 1} {
		l.Block(a, l.Partition(n), true)
	}
	if l.Writable() {
		t.Error("writable through a partition that the topic does not have")
	}
	l.Block(a, l.Partition(1), false)
	if !l.Writable() {
		t.Error("not writable, and partition 1 is not blocked")
	}
	l.Closed = true
	if l.Writable() {
		t.Error("a parked lane is writable")
	}
	l.Closed = false
	lg := &log{}
	for _, n := range []int32{9, 4, 7, 1, 4} {
		lg.add(nil, make([]byte, 30), n)
	}
	feedAll(t, a, l, lg)
	lowest := func(when string) {
		t.Helper()
		for range 10 { // a map's order changes
			if n, ok := l.AbsentPartition(); !ok || n != 4 {
				t.Errorf("%s the lowest partition that records are meant for is %d, %v; want 4", when, n, ok)
			}
		}
	}
	lowest("in memory")
	before := a.Used()
	if n := l.EvictBlocked(a); n <= 0 || a.Used() != before-n || l.Partition(1).Empty() || !l.Partition(4).Empty() {
		t.Errorf("%d of %d bytes given back, %d used", n, before, a.Used())
	}
	lowest("in the spool")
}

// A partition that cannot be written to holds two batches, then it is passed over: it must not hold the others up. Where none can be
// written to, the lane stops instead.
func TestABlockedPartitionWithTwoBatchesIsPassedOver(t *testing.T) {
	const body = 100 - 5 // with its head, after a batch's 61 bytes, such that queued comes to exactly two batches
	e := &spool.Entry{Partition: 0, Body: make([]byte, body)}
	size := head + spool.RecordSize(body, 0, 0)
	for _, tt := range []struct {
		name     string
		writable bool
		queued   int
		taken    bool
		ok       bool
	}{
		{"a byte less than two batches", true, 2*size - 1, true, true},
		{"two batches", true, 2 * size, false, true},
		{"two batches, none writable", false, 2 * size, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{BatchSize: size, BufferMemory: 1 << 20})
			l := lane(a, 2)
			p := l.Partition(0)
			l.Block(a, p, true)
			l.Block(a, l.Partition(1), !tt.writable)
			p.queued = tt.queued
			if taken, ok := l.place(a, 0, 0, e); taken != tt.taken || ok != tt.ok || p.Passed() != (ok && !taken) {
				t.Errorf("taken %v, the lane goes on %v, passed over %v", taken, ok, p.Passed())
			}
		})
	}
}

// A run that goes on elsewhere leaves its first batch ready, which the sender has to look at; one behind others needs no look.
func TestAPartitionIsNamedWhenItsFirstBatchIsFinished(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20, LingerMs: 1000})
	l := lane(a, 1)
	p := l.Partition(0)
	named := func() (n int) {
		l.Touched(func(*Partition) { n++ })
		return n
	}
	add := func(i spool.Index, size int) {
		if !p.add(a, 0, i, &spool.Entry{Body: make([]byte, size)}) {
			t.Fatal("no room")
		}
	}
	add(0, 100)
	if n := named(); n != 1 {
		t.Errorf("named %d times when it had its first record", n)
	}
	p.finish()
	if n := named(); n != 1 {
		t.Errorf("named %d times when its first batch was finished", n)
	}
	p.finish()
	add(1, 100) // a second batch
	p.finish()
	if n := named(); n != 0 {
		t.Errorf("named %d times when its second batch was finished", n)
	}
	if ready, _ := p.Ready(a, 0); !ready {
		t.Error("not ready")
	}
}

// A batch is full once no further byte fits.
func TestARecordJoinsABatchThatItFillsToTheLastByte(t *testing.T) {
	for more, want := range map[int]int{0: 1, 1: 2} {
		a := New(Config{BatchSize: 500, BufferMemory: 1 << 20})
		p := lane(a, 1).Partition(0)
		first := p.add(a, 0, 0, &spool.Entry{Body: make([]byte, 200)})
		second := p.add(a, 0, 1, &spool.Entry{Body: make([]byte, 500-len(p.queue[0].Buf)-spool.RecordHead+more)})
		if !first || !second || len(p.queue) != want {
			t.Errorf("%d bytes too many: %d batches, want %d", more, len(p.queue), want)
		}
	}
}

func TestABatchThatOneRecordFillsIsReady(t *testing.T) {
	for less, want := range map[int]bool{0: true, 1: false} {
		a := New(Config{BatchSize: 500, BufferMemory: 1 << 20, LingerMs: 1000})
		p := lane(a, 1).Partition(0)
		body := 500 - head - spool.RecordSize(0, 0, 0) - 1 - less // its length takes a byte more
		p.add(a, 0, 0, &spool.Entry{Body: make([]byte, body)})
		if ready, _ := p.Ready(a, 0); ready != want {
			t.Errorf("a batch of %d bytes of 500 is ready: %v", len(p.queue[0].Buf), ready)
		}
	}
}
