package bolt

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/spool"
)

// quotaOptions give topic "q" a quota of 64 KiB, and no other topic one.
func quotaOptions(dir string, full QuotaPolicy) Options {
	o := tinyOptions(dir)
	o.Quota = func(topic string) Quota {
		if topic == "q" {
			return Quota{64 << 10, full}
		}
		return Quota{}
	}
	return o
}

var kilobyte = make([]byte, 1000)

func appendNow(s *Store, topic string, n int) (taken int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for ; taken < n; taken++ {
		err := appendWithin(ctx, s, topic)
		for err != nil && !errors.As(err, new(*QuotaError)) && errors.Is(err, ErrFull) { // the disk is behind
			err = appendWithin(context.Background(), s, topic)
		}
		if err != nil {
			return taken, err
		}
	}
	return taken, nil
}

func appendWithin(ctx context.Context, s *Store, topic string) error {
	_, err := s.Append(ctx, topic, 1, -1, nil, kilobyte, nil)
	return err
}

// checkTaken compares what is counted of a topic with what its pending entries take on the disk.
func checkTaken(t *testing.T, s *Store, topic string) int64 {
	t.Helper()
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	held := int64(0)
	if err := s.Pending(topic, func(_ string, _ spool.Index, raw []byte) (bool, error) {
		held += int64(len(raw))
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	use := s.Quotas()[topic]
	if use.Taken != held {
		t.Errorf("counted %d bytes, pending are %d", use.Taken, held)
	}
	return use.Taken
}

func TestATopicAtItsQuotaStopsNoOther(t *testing.T) {
	for _, full := range []QuotaPolicy{QuotaBlock, QuotaReject} {
		l, _ := openLoop(t, quotaOptions(t.TempDir(), full))
		n, err := appendNow(l.s, "q", 100)
		var why *QuotaError
		if !errors.As(err, &why) || !errors.Is(err, ErrFull) || why.Topic != "q" || n < 60 || n > 64 {
			t.Fatalf("policy %d: %d records were taken, then %v", full, n, err)
		}
		if use := l.s.Quotas()["q"]; !use.Full || use.Taken > use.Bytes {
			t.Errorf("use %+v", use)
		}
		if n, err := appendNow(l.s, "other", 200); n != 200 {
			t.Errorf("policy %d: another topic took %d records: %v", full, n, err)
		}
		if _, err := l.s.AppendBatch(context.Background(), &BatchInput{Records: []RecordInput{
			{Topic: "other", Partition: -1, Value: kilobyte}, {Topic: "q", Partition: -1, Value: make([]byte, 65<<10)},
		}}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a batch above the quota: %v", err)
		}
		checkTaken(t, l.s, "q")
		l.settle("q", spool.Span{First: 3, End: 10})
		checkTaken(t, l.s, "q")
		if n, err := appendNow(l.s, "q", 100); n != 7 {
			t.Errorf("policy %d: %d records were taken in the place of 7: %v", full, n, err)
		}
		l.close()
	}
}

// Callers that wait for a quota get room in their order once there is some, and the others at once when the spool is closed.
func TestWaitersForAQuotaAreLetInAsThereIsRoom(t *testing.T) {
	l, _ := openLoop(t, quotaOptions(t.TempDir(), QuotaBlock))
	n, _ := appendNow(l.s, "q", 100)
	var all sync.WaitGroup
	results := make(chan error, 8)
	for range 8 {
		all.Go(func() { results <- appendWithin(context.Background(), l.s, "q") })
	}
	waiting := func() int {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		return len(l.s.lanes["q"].quota.turns.list)
	}
	if !poll.Until(func() bool { return waiting() == 8 }) {
		t.Fatalf("%d wait", waiting())
	}
	if n, err := appendNow(l.s, "other", 50); n != 50 {
		t.Errorf("another topic took %d: %v", n, err)
	}
	if err := l.s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.settle("q", spool.Span{First: 0, End: 5})
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if !poll.Until(func() bool { return waiting() == 3 }) {
		t.Errorf("%d wait, want 3", waiting())
	}
	checkTaken(t, l.s, "q")
	l.close()
	all.Wait()
	for range 3 {
		if err := <-results; !errors.Is(err, ErrClosed) {
			t.Errorf("a waiter at the end: %v", err)
		}
	}
	if n < 60 {
		t.Errorf("%d records were taken", n)
	}
}

// What waits counts after a restart, in older segments and where they were rewritten, too.
func TestQuotasCountWhatAStartFinds(t *testing.T) {
	o := quotaOptions(t.TempDir(), QuotaBlock)
	o.RewriteAfter = time.Millisecond
	l, _ := openLoop(t, o)
	end := spool.Index(0)
	for round := range 6 {
		n, _ := appendNow(l.s, "q", 20)
		if _, err := appendNow(l.s, "other", 150); err != nil {
			t.Fatal(err)
		}
		if err := l.s.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		end += spool.Index(n)
		l.settle("q", spool.Span{First: end - spool.Index(n) + 2, End: end - 2}) // 4 stay
		l.settle("other", spool.Span{First: spool.Index(round * 150), End: spool.Index(round*150 + 149)})
	}
	before := checkTaken(t, l.s, "q")
	l.close()
	l, _ = openLoop(t, o)
	defer l.close()
	if after := checkTaken(t, l.s, "q"); after != before || before < 24_000 {
		t.Errorf("counted %d bytes before the restart, %d after it", before, after)
	}
}

// A start measures a bounded part of what waits. The rest counts as if nothing of it had left, until it is measured, too: without a commit.
func TestWhatAStartDoesNotMeasureIsMeasuredLater(t *testing.T) {
	o := Options{Path: t.TempDir(), MinFreeBytes: -1, Quota: func(string) Quota { return Quota{Bytes: 1 << 30} }}
	l, _ := openLoop(t, o)
	var left []spool.Span
	value := make([]byte, 64<<10)
	end, stays := spool.Index(0), int64(0)
	for ; stays < measureAtStart+2*measureLater; end += 2 {
		mustAppend(t, l.s, "q", string(value))
		mustAppend(t, l.s, "q", "small")
		left = append(left, spool.Span{First: end + 1, End: end + 2})
		stays += int64(len(value))
	}
	if err := l.s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.settle("q", left...)
	l.quiet()
	before := l.s.Quotas()["q"].Taken
	l.close()
	l, _ = openLoop(t, o)
	defer l.close()
	if at := l.s.Quotas()["q"].Taken; at < before {
		t.Errorf("%d bytes are counted after a start, at least %d wait", at, before)
	}
	if !poll.Until(func() bool { return l.s.Quotas()["q"].Taken == before }) {
		t.Fatalf("%d bytes are counted, %d before the start", l.s.Quotas()["q"].Taken, before)
	}
}

// With drop-oldest the lane is reported from 15/16 of its quota on, and Excess names what brings it down to 7/8, but nothing below from.
func TestExcessIsWhatIsToBeDropped(t *testing.T) {
	l, _ := openLoop(t, quotaOptions(t.TempDir(), QuotaDropOldest))
	defer l.close()
	if n, err := appendNow(l.s, "q", 50); n != 50 || len(l.s.TakeCrowded()) != 0 {
		t.Fatalf("%d records, %v", n, err)
	}
	if n, err := appendNow(l.s, "q", 12); n != 12 {
		t.Fatalf("%d records, %v", n, err)
	}
	if err := l.s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-l.s.Crowded()
	if list := l.s.TakeCrowded(); len(list) != 1 {
		t.Fatalf("crowded %v", list)
	}
	id := l.laneOf("q")
	// 62 records of 1,013 bytes are 62,806: 5,462 above 57,344.
	if end := l.s.Excess(id, 0); end != 6 {
		t.Errorf("Excess = %d, want 6", end)
	}
	if end := l.s.Excess(id, 10); end != 16 {
		t.Errorf("Excess from 10 = %d, want 16", end)
	}
	l.settle("q", spool.Span{First: 0, End: 6})
	if end := l.s.Excess(id, 0); end != 0 {
		t.Errorf("Excess = %d after it left", end)
	}
}

func TestAQuotaErrorSaysWhichTopicAndHowMuch(t *testing.T) {
	err := &QuotaError{"q", 100, 90, 20}
	if !strings.Contains(err.Error(), "topic q is at its quota: its pending records take 90 bytes of at most 100 (topic.quota.bytes or topic.quota.topics)") {
		t.Error(err)
	}
}

// A kill at any step of dropping the oldest leaves counters that add up, and the quota counts what is left.
func TestAKillBetweenStepsOfADropLeavesATrueCount(t *testing.T) {
	o := quotaOptions(t.TempDir(), QuotaDropOldest)
	var copies []string
	armed := false
	o.Faults = &Faults{Point: func(string) {
		if armed {
			dir := t.TempDir()
			copyDir(t, o.Path, dir)
			copies = append(copies, dir)
		}
	}}
	l, _ := openLoop(t, o)
	if n, err := appendNow(l.s, "q", 62); n != 62 {
		t.Fatal(err)
	}
	if err := l.s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	id := l.laneOf("q")
	drop := func() {
		list := []spool.Settlement{}
		for i := spool.Index(0); i < l.s.Excess(id, 0); i++ {
			list = append(list, spool.Settlement{Lane: id, Spans: []spool.Span{{First: i, End: i + 1}}, Outcome: spool.OutcomeExpired, Why: "topic.quota.bytes is reached"})
		}
		l.write(&spool.Write{Settle: list})
	}
	l.s.mu.Lock() // the committer is idle: nothing looks at armed meanwhile
	armed = true
	l.s.mu.Unlock()
	drop()
	l.close()
	armed = false
	if len(copies) < 2 {
		t.Fatalf("%d copies", len(copies))
	}
	for i, dir := range copies {
		o := o
		o.Path, o.Adopt, o.Faults = dir, true, nil
		l, r := openLoop(t, o)
		c := r.Counters
		if c.Accepted != 62 || c.Accepted != c.Pending()+c.Expired || c.Expired != 0 && c.Expired != 6 {
			t.Errorf("copy %d: counters %+v", i, c)
		}
		gone := 0
		for _, g := range l.s.Stats().Gaps {
			gone += g.Len()
		}
		if gone != int(c.Expired) {
			t.Errorf("copy %d: gaps of %d records, %d expired", i, gone, c.Expired)
		}
		checkTaken(t, l.s, "q")
		if crowded := l.s.TakeCrowded(); (len(crowded) == 1) != (c.Expired == 0) {
			t.Errorf("copy %d: crowded %v with %d expired", i, crowded, c.Expired)
		}
		l.close()
	}
}
