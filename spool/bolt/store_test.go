package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// tinyOptions keep files small: groups of 16 KiB, segments of 256 KiB.
func tinyOptions(dir string) Options {
	return Options{Path: dir, SegmentBytes: 256 << 10, GroupBytes: 16 << 10, MinFreeBytes: -1, SettleAfter: 5 * time.Millisecond}
}

// testLoop stands in for the loop: it receives commits and keeps what they said.
type testLoop struct {
	t       testing.TB
	s       *Store
	mu      sync.Mutex
	entries map[spool.LaneID]map[spool.Index]spool.Record
	lanes   map[string]spool.LaneID
	writes  uint64
	err     error
	changed chan struct{}
	ended   chan struct{}
	nextID  uint64
}

func openLoop(t testing.TB, o Options) (*testLoop, *spool.Recovered) {
	t.Helper()
	s, r, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	l := &testLoop{t: t, s: s, entries: map[spool.LaneID]map[spool.Index]spool.Record{}, lanes: map[string]spool.LaneID{}, changed: make(chan struct{}), ended: make(chan struct{})}
	for _, lane := range r.Lanes {
		l.lanes[lane.Topic] = lane.ID
	}
	go l.run()
	return l, r
}

func (l *testLoop) run() {
	defer close(l.ended)
	for c := range l.s.Commits() {
		l.mu.Lock()
		if c.Err != nil {
			l.err = c.Err
		}
		l.writes = max(l.writes, c.Writes)
		for _, n := range c.Lanes {
			l.lanes[n.Topic] = n.ID
		}
		for i := range c.Sections {
			l.keep(&c.Sections[i])
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		c.Release()
	}
}

func (l *testLoop) keep(sect *spool.Section) {
	if sect.Bytes == nil {
		return // staged: to be read from the disk
	}
	if l.entries[sect.Lane] == nil {
		l.entries[sect.Lane] = map[spool.Index]spool.Record{}
	}
	if err := eachRecord(sect, func(i spool.Index, r spool.Record) { l.entries[sect.Lane][i] = r }); err != nil {
		l.t.Errorf("committed section: %v", err)
	}
}

func eachRecord(sect *spool.Section, yield func(spool.Index, spool.Record)) error {
	return eachEntry(sect, func(i spool.Index, raw []byte) {
		e, _, err := spool.NextEntry(append([]byte(nil), raw...))
		if err != nil {
			panic(err)
		}
		r, err := e.Record()
		if err != nil {
			panic(err)
		}
		yield(i, r)
	})
}

// write submits w and waits until it is durable.
func (l *testLoop) write(w *spool.Write) {
	l.t.Helper()
	l.nextID++
	w.ID = l.nextID
	l.s.Submit(w, true)
	l.wait(func() bool { return l.writes >= w.ID || l.err != nil })
}

func (l *testLoop) wait(cond func() bool) {
	l.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		ok, changed := cond(), l.changed
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-l.ended:
			return
		case <-deadline:
			l.t.Fatal("waited 20 s for the spool")
		}
	}
}

func (l *testLoop) close() {
	l.t.Helper()
	if err := l.s.Close(context.Background()); err != nil {
		l.t.Fatalf("Close: %v", err)
	}
	<-l.ended
}

func (l *testLoop) settle(topic string, spans ...spool.Span) {
	l.t.Helper()
	l.mu.Lock()
	id := l.lanes[topic]
	l.mu.Unlock()
	l.write(&spool.Write{Settle: []spool.Settlement{{Lane: id, Spans: spans, Outcome: spool.OutcomeAcked}}})
}

// laneOf waits until a commit has named a topic's lane.
func (l *testLoop) laneOf(topic string) (id spool.LaneID) {
	l.t.Helper()
	l.wait(func() (ok bool) { id, ok = l.lanes[topic]; return ok })
	return id
}

// readAll reads all entries of a topic that have not left.
func readAll(t testing.TB, s *Store, lane spool.LaneID) map[spool.Index]string {
	t.Helper()
	out := map[spool.Index]string{}
	var buf []byte
	for at := spool.Index(0); ; {
		sections, next, b, err := s.Read(lane, at, 4096, buf)
		if err != nil {
			t.Fatalf("Read(%d, %d): %v", lane, at, err)
		}
		buf = b
		for i := range sections {
			if err := eachRecord(&sections[i], func(i spool.Index, r spool.Record) {
				s.view.RLock()
				defer s.view.RUnlock()
				if !s.state.Settled(lane).Contains(i) {
					out[i] = string(r.Value)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		if len(sections) == 0 {
			return out
		}
		at = next
	}
}

func mustAppend(t testing.TB, s *Store, topic, value string) Ticket {
	t.Helper()
	ticket, err := s.Append(context.Background(), topic, 1, -1, nil, []byte(value), nil)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return ticket
}

func TestRecordSpooledOnceIsThereAfterARestart(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	var last Ticket
	for i := range 1000 {
		last = mustAppend(t, l.s, fmt.Sprintf("t%d", i%3), fmt.Sprint(i))
	}
	if err := last.Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.close()
	l, r := openLoop(t, o)
	defer l.close()
	if r.Incarnation != 2 || len(r.Lanes) != 3 || r.Counters.Pending() != 1000 {
		t.Fatalf("recovered %+v", r)
	}
	for i := range 3 {
		got := readAll(t, l.s, l.lanes[fmt.Sprintf("t%d", i)])
		if len(got) != int(r.Lanes[l.lanes[fmt.Sprintf("t%d", i)]].End) {
			t.Errorf("lane %d: read %d of %d records", i, len(got), r.Lanes[i].End)
		}
		for k, v := range got {
			if want := fmt.Sprint(int(k)*3 + i); v != want {
				t.Errorf("t%d[%d] = %q, want %q", i, k, v, want)
			}
		}
	}
}

func TestAckedTellsOffsetToWhoeverHoldsATicket(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	var tickets []Ticket
	for i := range 10 {
		tickets = append(tickets, mustAppend(t, l.s, "a", fmt.Sprint(i)))
	}
	if err := tickets[9].Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.wait(func() bool { return len(l.entries[0]) == 10 })
	l.s.Resolve(&spool.Delivery{Lane: 0, Spans: []spool.Span{{First: 0, End: 2}, {First: 5, End: 7}}, Partition: 3, Offset: 100, Timestamp: -1})
	refused := errors.New("refused")
	l.s.Resolve(&spool.Delivery{Lane: 0, Spans: []spool.Span{{First: 2, End: 5}}, Partition: 1, Offset: protocol.NoOffset, Timestamp: -1, Err: refused})
	for i, want := range map[int]protocol.Offset{0: 100, 1: 101, 5: 102, 6: 103} {
		a, err := tickets[i].Acked(context.Background())
		if err != nil || a.Offset != want || a.Partition != 3 {
			t.Errorf("ticket %d: %+v, %v; want offset %d", i, a, err, want)
		}
	}
	if _, err := tickets[3].Acked(context.Background()); !errors.Is(err, refused) {
		t.Errorf("refused record: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tickets[8].Acked(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("unresolved record: %v", err)
	}
}

func TestNothingIsKeptForTicketsThatNobodyHolds(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	held := mustAppend(t, l.s, "a", "held")
	for range 300 {
		if err := mustAppend(t, l.s, "a", "x").Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
	}
	l.s.mu.Lock()
	n := len(l.s.laneByID[0].places)
	l.s.mu.Unlock()
	if n > 40 {
		t.Errorf("%d groups are remembered, one ticket is held", n)
	}
	l.s.Resolve(&spool.Delivery{Spans: []spool.Span{{First: 0, End: 301}}, Offset: 7, Timestamp: -1})
	if a, err := held.Acked(context.Background()); err != nil || a.Offset != 7 {
		t.Errorf("the held ticket: %+v, %v", a, err)
	}
}

// A lane whose records leave in order, and one record that stays: the files of what has left are given
// back, and the record is still there.
func TestStuckRecordDoesNotHoldTheDisk(t *testing.T) {
	t.Parallel()
	o := tinyOptions(t.TempDir())
	o.RewriteAfter = time.Nanosecond
	l, _ := openLoop(t, o)
	value := strings.Repeat("x", 4000)
	var last Ticket
	for i := range spool.Index(1000) {
		last = mustAppend(t, l.s, "a", value)
		if i%50 == 49 {
			if err := last.Spooled(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.wait(func() bool { return len(l.entries[0]) == 1000 })
	stuckAt := spool.Index(100)
	l.settle("a", spool.Span{First: 0, End: stuckAt}, spool.Span{First: stuckAt + 1, End: 1000})
	for range 30 { // commits that go anyway
		l.quiet()
		l.write(&spool.Write{Audit: []spool.AuditEntry{{What: "tick"}}})
	}
	l.quiet()
	if n := l.s.Stats().Segments; n > 1 {
		t.Errorf("%d segments are left, want 1", n)
	}
	if got := readAll(t, l.s, 0); len(got) != 1 || got[stuckAt] != value {
		t.Errorf("%d records are left, want the stuck one", len(got))
	}
	l.close()
	l, _ = openLoop(t, o)
	if got := readAll(t, l.s, 0); len(got) != 1 || got[stuckAt] != value {
		t.Errorf("after a restart %d records are left, want the stuck one", len(got))
	}
	l.settle("a", spool.Span{First: stuckAt, End: stuckAt + 1})
	if n := l.s.active.head.Blocks; n != 0 {
		t.Errorf("%d blocks are left of nothing", n)
	}
	l.close()
}

// These get a commit of their own.
func TestIdleSpoolWritesNothingButOwedSettlements(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	if err := mustAppend(t, l.s, "a", "x").Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.wait(func() bool { return len(l.entries[0]) == 1 })
	l.s.Submit(&spool.Write{ID: 1, Settle: []spool.Settlement{{Spans: []spool.Span{{First: 0, End: 1}}, Outcome: spool.OutcomeAcked}}}, false)
	l.wait(func() bool { return l.writes == 1 })
	l.quiet()
	block := l.s.Stats().Block
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if got := l.s.Stats().Block; got != block || got != 3 {
		t.Errorf("commit %d after being idle, was %d, want 3 (start, record, settlement)", got, block)
	}
}

func TestBatchOverTheLimitAndBadNamesAreRefused(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	ctx := context.Background()
	big := make([]byte, 100<<10)
	if _, err := l.s.Append(ctx, "a", 1, -1, nil, big, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large record: %v", err)
	}
	for name, b := range map[string]*BatchInput{
		"no topic":     {Records: []RecordInput{{}}},
		"long topic":   {Records: []RecordInput{{Topic: strings.Repeat("t", 250)}}},
		"partition -2": {Records: []RecordInput{{Topic: "a", Partition: -2}}},
		"empty note":   {Notes: []Note{{}}},
	} {
		if _, err := l.s.AppendBatch(ctx, b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.s.AppendBatch(ctx, &BatchInput{Notes: []Note{{"n", big[:5000]}}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large note: %v", err)
	}
	if n := l.s.Stats().Counters.Accepted; n != 0 {
		t.Errorf("%d records accepted", n)
	}
}
