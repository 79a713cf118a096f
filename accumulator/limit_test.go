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

// A refusal halves the limit, unless something better is known: what was acked since the first one, or the topic's own setting.
func TestARefusalLimitsBatchesToWhatIsKnown(t *testing.T) {
	for _, tt := range []struct {
		name                string
		said, acked, before int
		refused             int
		want                int
	}{
		{"nothing is known", 0, 0, 0, 8000, 4000},
		{"more was acked than half of it", 0, 6000, 10_000, 8000, 6000},
		{"less was acked than half of it", 0, 3000, 10_000, 8000, 4000},
		{"as much was acked: the limit was lowered", 0, 8000, 10_000, 8000, 4000},
		{"acked with no limit says nothing of today's", 0, 7000, 0, 8000, 4000},
		{"the setting explains it", 7000, 0, 0, 8000, 7000},
		{"the setting allows it", 8000, 0, 0, 8000, 4000},
		{"a refusal never raises the limit", 0, 0, 1000, 8000, 1000},
		{"a small setting", 100, 0, 0, 8000, leastLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sizeLimit{said: tt.said, bytes: tt.before}
			s.ackedBatch(tt.acked)
			if s.tooLarge(0, tt.refused); s.bytes != tt.want {
				t.Errorf("the limit is %d, want %d", s.bytes, tt.want)
			}
		})
	}
}

func TestASettingThatARefusedBatchKeptToIsNoLimit(t *testing.T) {
	for said, want := range map[int]int{7999: 7999, 8000: 4000, 9000: 4000} {
		var s sizeLimit
		s.tooLarge(0, 8000)
		if s.configured(said); s.bytes != want {
			t.Errorf("a setting of %d makes the limit %d, want %d", said, s.bytes, want)
		}
	}
}

func TestPiecesMayBeAsLargeAsTheSettingOrAnAckedBatch(t *testing.T) {
	for _, tt := range []struct{ said, acked, want int }{
		{0, 0, 0}, {0, 3000, 3000}, {6399, 3000, 6399}, {6400, 3000, 3000}, {6400, 0, 0}, {0, 6400, 0}, {0, 6399, 6399}, {0, 200, 0}, {0, 201, 201},
	} {
		s := sizeLimit{said: tt.said, acked: tt.acked}
		if got := s.allowed(6400); got != tt.want {
			t.Errorf("said %d, acked %d: pieces of %d bytes, want %d", tt.said, tt.acked, got, tt.want)
		}
	}
}

// The limit grows by an eighth after ten minutes, twice as long for each further refusal, until batch.size fits: then nothing is
// known any more.
func TestALimitGrowsWhenItIsTime(t *testing.T) {
	for refusals, wait := range map[int]int64{1: growAfterMs, 2: 2 * growAfterMs, 3: 4 * growAfterMs, 20: growMostMs} {
		var s sizeLimit
		for range refusals {
			s.tooLarge(0, 16_000)
		}
		now, bytes := s.growAt, s.bytes
		if now != wait {
			t.Errorf("%d refusals: it grows after %d ms, want %d", refusals, now, wait)
		}
		if s.grow(now-1, 1<<20); s.bytes != bytes {
			t.Errorf("%d refusals: it grows too early", refusals)
		}
		if s.grow(now, 1<<20); s.bytes != bytes+bytes/8 || s.growAt != now+wait {
			t.Errorf("%d refusals: it grows to %d, and again after %d ms; want %d and %d", refusals, s.bytes, s.growAt-now, bytes+bytes/8, wait)
		}
	}
	s := sizeLimit{bytes: 800, refusals: 3, acked: 700, said: 850}
	if s.grow(0, 900); s != (sizeLimit{said: 850}) {
		t.Errorf("at batch.size it is %+v, want none", s)
	}
}
