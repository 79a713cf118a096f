package bolt

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// A repeat of a key is told what became of each of its records, however they left, at each start: a dead letter that was
// dropped or replayed is not acked.
func TestARepeatOfAKeyIsToldWhatBecameOfItsRecords(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	outcomes := []spool.Outcome{spool.OutcomeAcked, spool.OutcomeExpired, spool.OutcomeLost, spool.OutcomeDeadLettered, spool.OutcomeDeadLettered}
	want := []error{nil, ErrExpired, ErrLost, ErrDeadLettered, ErrDeadLettered}
	for i := range outcomes {
		if _, err := l.s.AppendBatch(ctx, oneKeyed(i)); err != nil {
			t.Fatal(err)
		}
	}
	l.quiet()
	w := &spool.Write{}
	for i, outcome := range outcomes {
		at := spool.Index(i)
		if outcome == spool.OutcomeDeadLettered {
			w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Index: at, Code: 87, Message: "no key"})
		}
		w.Settle = append(w.Settle, spool.Settlement{Spans: []spool.Span{{First: at, End: at + 1}}, Outcome: outcome, Why: "test"})
	}
	l.write(w)
	list := l.s.DeadLetters(DeadFilter{}, -1)
	if len(list) != 2 {
		t.Fatalf("%d dead letters", len(list))
	}
	if n, err := l.s.DropDead(ctx, DeadFilter{Serials: []uint64{list[0].Serial}}, Drop{}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	if n, _, err := l.s.ReplayDead(ctx, DeadFilter{Serials: []uint64{list[1].Serial}}, Replay{}); n != 1 || err != nil {
		t.Fatalf("replayed %d, %v", n, err)
	}
	for range 2 {
		l.close()
		l, _ = openLoop(t, o)
		for i := range outcomes {
			tk, err := l.s.AppendBatch(ctx, oneKeyed(i))
			if err != nil || !tk.Duplicate() {
				t.Fatalf("repeat %d is new: %v", i, err)
			}
			if _, err := tk.At(0).Acked(ctx); !errors.Is(err, want[i]) {
				t.Errorf("repeat %d: %v, want %v", i, err, want[i])
			}
		}
	}
	l.close()
}

func oneKeyed(i int) *BatchInput {
	return &BatchInput{Key: fmt.Sprint("key", i), Scope: "/", Records: []RecordInput{{Topic: "t", Timestamp: 1, Partition: -1, Value: []byte{byte(i)}}}}
}

// Keys are bounded by what they take on the disk: no new one is taken while the oldest is too young to be forgotten.
func TestKeysAndNotesStayWithinTheirBytes(t *testing.T) {
	ctx := context.Background()
	o := tinyOptions(t.TempDir())
	o.KeyBytes, o.StateBytes = 1, 1 // as little as there may be
	l, _ := openLoop(t, o)
	defer l.close()
	b := func(i int) *BatchInput { return &BatchInput{Key: fmt.Sprint("key", i), Scope: "/"} }
	taken := 0
	for i := range minKeys + 10 {
		_, err := l.s.AppendBatch(ctx, b(i))
		if errors.Is(err, ErrKeyWindow) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		taken++
	}
	if taken != minKeys {
		t.Errorf("%d keys were taken, want %d", taken, minKeys)
	}
	note := func(i int) error {
		tk, err := l.s.AppendBatch(ctx, &BatchInput{Notes: []Note{{fmt.Sprint("note", i), make([]byte, 1000)}}})
		if err == nil {
			err = tk.Spooled(ctx)
		}
		return err
	}
	n := 0
	for ; n < 100; n++ {
		if err := note(n); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
		l.quiet()
	}
	if n < 10 || n > 20 {
		t.Errorf("%d notes of 1000 bytes were taken in %d", n, minState)
	}
	if err := note(0); err != nil {
		t.Errorf("a note that is there: %v", err)
	}
}
