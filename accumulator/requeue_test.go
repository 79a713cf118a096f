package accumulator

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/spool"
)

// Batches that are to be sealed again stand in front of the queue, in order, without what has left, and as they were otherwise: with
// bytes of their own, as the former ones may still be read.
func TestBatchesAreQueuedAgainWithoutWhatHasLeft(t *testing.T) {
	a := New(Config{BatchSize: 300, BufferMemory: 1 << 20, LingerMs: 1000})
	l := lane(a, 1)
	lg := &log{}
	for range 30 { // ten batches
		lg.add(nil, make([]byte, 60), 0)
	}
	feedAll(t, a, l, lg)
	p := l.Partition(0)
	former := []*Batch{p.Pop(a), p.Pop(a), p.Pop(a)}
	if former[0].Count != 3 || former[2].Spans[0] != (spool.Span{First: 6, End: 9}) || p.Empty() {
		t.Fatalf("batches of %d records, the third is %v", former[0].Count, former[2].Spans)
	}
	l.Settle(a, []spool.Span{{First: 1, End: 2}, {First: 6, End: 9}})
	if err := l.Requeue(a, p, former); err != nil {
		t.Fatal(err)
	}
	queued, used := 0, 0
	for _, b := range p.queue {
		queued, used = queued+len(b.Buf), used+cap(b.Buf)
	}
	for _, b := range former {
		used += cap(b.Buf)
		clear(b.Buf)
	}
	if p.Queued() != queued || a.Used() != used {
		t.Errorf("%d bytes queued and %d used are counted as %d and %d", queued, used, p.Queued(), a.Used())
	}
	if ready, _ := p.Ready(a, 0); !ready {
		t.Error("what was ready before waits for company")
	}
	var got []spool.Index
	for !p.Empty() {
		b := p.Pop(a)
		if b.Count == 0 {
			t.Error("a batch without records is queued")
		}
		for n, i := range b.Indexes {
			got = append(got, i)
			if stamp, err := b.Timestamp(int32(n)); err != nil || stamp != int64(i) { // log.add gives entry i timestamp i
				t.Errorf("entry %d has timestamp %d, %v", i, stamp, err)
			}
		}
	}
	want := []spool.Index{0, 2, 3, 4, 5}
	for i := spool.Index(9); i < lg.end(); i++ {
		want = append(want, i)
	}
	if !slices.Equal(got, want) {
		t.Errorf("entries %v are queued, want %v", got, want)
	}
	former[0].Buf = former[0].Buf[:head+1]
	if err := l.Requeue(a, p, former[:1]); err == nil {
		t.Error("a batch without its bytes is queued again")
	}
}
