package bolt

import (
	"context"
	"errors"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Tickets of one life of the spool are answered in the next: by what has left meanwhile, by what is
// resolved there, by its repeats too, or at its end.
func TestReceiptsMoveOnToTheNextStore(t *testing.T) {
	dir := t.TempDir()
	o := tinyOptions(dir)
	o.KeepReceipts = true
	l, _ := openLoop(t, o)
	var tickets []Ticket
	for range 4 {
		tickets = append(tickets, mustAppend(t, l.s, "a", "x"))
	}
	batch := &BatchInput{Key: "k", Records: []RecordInput{{Topic: "a", Timestamp: NoTimestamp, Partition: -1}}}
	keyed, err := l.s.AppendBatch(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyed.Spooled(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.wait(func() bool { return len(l.entries[0]) == 5 })
	l.settle("a", spool.Span{First: 0, End: 1}) // nobody was told of it
	l.close()
	receipts := l.s.Receipts()

	l, _ = openLoop(t, o)
	l.s.Adopt(receipts)
	if a, err := tickets[0].Acked(t.Context()); err != nil || a.Offset != protocol.NoOffset {
		t.Errorf("what has left: %+v, %v", a, err)
	}
	l.s.Resolve(&spool.Delivery{Lane: 0, Spans: []spool.Span{{First: 1, End: 3}, {First: 4, End: 5}}, Partition: 3, Offset: 70, Timestamp: -1})
	for i, want := range map[int]protocol.Offset{1: 70, 2: 71} {
		if a, err := tickets[i].Acked(t.Context()); err != nil || a.Offset != want || a.Partition != 3 {
			t.Errorf("ticket %d: %+v, %v; want offset %d", i, a, err, want)
		}
	}
	again, err := l.s.AppendBatch(t.Context(), batch)
	if err != nil || !again.Duplicate() {
		t.Fatalf("a repeat: %v, duplicate %v", err, again.Duplicate())
	}
	for _, ticket := range []Ticket{keyed.At(0), again.At(0)} {
		if a, err := ticket.Acked(t.Context()); err != nil || a.Offset != 72 {
			t.Errorf("the record with a key: %+v, %v; want offset 72", a, err)
		}
	}
	waits, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tickets[3].Acked(waits); !errors.Is(err, context.Canceled) {
		t.Errorf("what is pending: %v", err)
	}
	l.close()
	l.s.Receipts().Close()
	if _, err := tickets[3].Acked(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("at the end: %v, want ErrClosed", err)
	}
}
