package accumulator

import (
	"testing"

	"github.com/spoold/spoold/spool"
)

// limited is a lane whose batches a broker takes up to most bytes. offer makes and offers batches for some time and
// reports how many of the offered were refused.
type limited struct {
	t    *testing.T
	a    *Accumulator
	l    *Lane
	most int
	now  int64
	next spool.Index
}

func newLimited(t *testing.T, most int) *limited {
	l := &limited{t: t, most: most, now: 1, l: NewLane(0, "a", 0, 0, spool.Facts{}),
		a: New(Config{BatchSize: 16384, BufferMemory: 1 << 20, Seed: 1})}
	l.l.SetPartitions(1)
	l.l.Block(l.a, l.l.Partition(0), false)
	return l
}

// pop fills a batch and takes it.
func (l *limited) pop() *Batch {
	l.t.Helper()
	p := l.l.Partition(0)
	for len(p.queue) < 2 { // the first is full then
		e := spool.Entry{Timestamp: 1, Partition: 0, Body: make([]byte, 100)}
		l.l.limit.grow(l.now, l.a.cfg.BatchSize)
		if !p.add(l.a, l.now, l.next, &e) {
			l.t.Fatal("no room")
		}
		l.next++
	}
	return p.Pop(l.a)
}

func (l *limited) offer(batches int) (refused int) {
	l.t.Helper()
	for range batches {
		b := l.pop()
		if size := len(b.Buf); size > l.most {
			refused++
			l.l.TooLarge(l.now, b)
		} else {
			l.l.Acked(b)
		}
		l.a.Recycle(b)
		l.now += 100
	}
	return refused
}

// Law: a topic that takes less than batch.size refuses a few batches, not most of them for ever; and when its limit is raised,
// batches grow to it again.
func TestTheLargestBatchThatATopicTakesIsLearnt(t *testing.T) {
	l := newLimited(t, 3000)
	if n := l.offer(100); n > 8 {
		t.Errorf("%d of the first 100 batches were refused, want a few", n)
	}
	day := 0
	for range 24 * 6 {
		day += l.offer(100)
		l.now += growAfterMs
	}
	if day > 24 {
		t.Errorf("%d batches were refused in a day, want less than one an hour", day)
	}
	if size := l.l.batchSize(l.a); size < 1500 || size > 3600 {
		t.Errorf("batches have up to %d bytes, the topic takes 3000", size)
	}
	l.most = 1 << 20
	for range 2000 {
		l.offer(1)
		l.now += growAfterMs
	}
	if size := l.l.batchSize(l.a); size != l.a.cfg.BatchSize {
		t.Errorf("batches have up to %d bytes long after the limit was raised, want batch.size", size)
	}
}

func TestALimitThatIsLoweredIsLearntAgain(t *testing.T) {
	l := newLimited(t, 8000)
	l.offer(50)
	l.most = 1000
	l.offer(50)
	if n := l.offer(100); n > 2 {
		t.Errorf("%d of 100 batches were refused", n)
	}
}

// What the topic's configuration says counts instead of a guess, if it explains the refusal.
func TestAConfiguredSizeReplacesTheGuess(t *testing.T) {
	s := sizeLimit{}
	if s.configured(10_000); s.bytes != 0 {
		t.Errorf("with no refusal the limit is %d", s.bytes)
	}
	s = sizeLimit{}
	s.tooLarge(0, 100_000)
	if s.bytes != 50_000 || !s.wanted {
		t.Errorf("after a refusal: %+v", s)
	}
	if s.configured(200_000); s.bytes != 50_000 {
		t.Errorf("a setting that the batch was within makes the limit %d", s.bytes)
	}
	if s.configured(90_000); s.bytes != 90_000 {
		t.Errorf("the limit is %d, the setting 90,000", s.bytes)
	}
	if s.configured(10); s.bytes != leastLimit {
		t.Errorf("the limit is %d for a setting of 10", s.bytes)
	}
}
