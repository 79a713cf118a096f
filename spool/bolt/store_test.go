package bolt

import (
	"context"
	"errors"
	"fmt"
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
	l.s.Resolve(&Delivery{Lane: 0, Spans: []spool.Span{{First: 0, End: 2}, {First: 5, End: 7}}, Partition: 3, Offset: 100, Timestamp: -1})
	refused := errors.New("refused")
	l.s.Resolve(&Delivery{Lane: 0, Spans: []spool.Span{{First: 2, End: 5}}, Partition: 1, Offset: protocol.NoOffset, Timestamp: -1, Err: refused})
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
