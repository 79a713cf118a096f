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

func TestConcurrentRepeatsOfAKeyStoreOneBatch(t *testing.T) {
	l, _ := openLoop(t, tinyOptions(t.TempDir()))
	defer l.close()
	const callers, keys = 32, 20
	var wg sync.WaitGroup
	first := make([]int, keys)
	tickets := make([][callers]Tickets, keys)
	var mu sync.Mutex
	for k := range keys {
		for c := range callers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				// S-39: some give up at once, as if their client had timed out.
				ctx, cancel := context.WithCancel(context.Background())
				if c%3 == 0 {
					cancel()
				}
				defer cancel()
				tk, err := l.s.AppendBatch(context.Background(), keyed(fmt.Sprint("k", k), "a", fmt.Sprint("v", k)))
				if err != nil {
					t.Errorf("AppendBatch: %v", err)
					return
				}
				_ = tk.Spooled(ctx)
				if err := tk.Spooled(context.Background()); err != nil {
					t.Errorf("Spooled: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				tickets[k][c] = tk
				if !tk.Duplicate() {
					first[k]++
				}
			}()
		}
	}
	wg.Wait()
	for k, n := range first {
		if n != 1 {
			t.Errorf("key %d was new %d times", k, n)
		}
	}
	l.wait(func() bool { return len(l.entries[0]) == 3*keys })
	l.s.Resolve(&spool.Delivery{Lane: 0, Spans: []spool.Span{{First: 0, End: 3 * keys}}, Partition: 2, Offset: 1000, Timestamp: -1})
	for k := range keys {
		want, err := tickets[k][0].At(1).Acked(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for c := range callers {
			got, err := tickets[k][c].At(1).Acked(context.Background())
			if err != nil || got != want {
				t.Errorf("key %d, caller %d: %+v, %v; the first one heard %+v", k, c, got, err, want)
			}
		}
	}
}

func TestRepeatAfterARestartFindsPendingAndSettledRecords(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	b := keyed("k", "a", "v")
	tk, err := l.s.AppendBatch(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.settle("a", spool.Span{First: 0, End: 1})
	l.close()
	l, _ = openLoop(t, o)
	defer l.close()
	again, err := l.s.AppendBatch(context.Background(), b)
	if err != nil || !again.Duplicate() || again.Len() != 3 {
		t.Fatalf("repeat: duplicate %v, %d records, %v", again.Duplicate(), again.Len(), err)
	}
	if a, err := again.At(0).Acked(context.Background()); err != nil || a.Offset != protocol.NoOffset {
		t.Errorf("settled record: %+v, %v", a, err)
	}
	l.s.Resolve(&spool.Delivery{Lane: 0, Spans: []spool.Span{{First: 1, End: 2}}, Partition: 0, Offset: 41, Timestamp: -1})
	if a, err := again.At(1).Acked(context.Background()); err != nil || a.Offset != 41 {
		t.Errorf("resolved record: %+v, %v", a, err)
	}
	// The loop told of it before the repeat came: the settlement tells.
	l.settle("a", spool.Span{First: 2, End: 3})
	if a, err := again.At(2).Acked(context.Background()); err != nil || a.Offset != protocol.NoOffset {
		t.Errorf("record settled after the repeat: %+v, %v", a, err)
	}
	other := keyed("k", "a", "w")
	if _, err := l.s.AppendBatch(context.Background(), other); !errors.Is(err, ErrKeyReused) {
		t.Errorf("other records under the key: %v", err)
	}
	if n := l.s.Stats().Counters.Accepted; n != 3 {
		t.Errorf("%d records accepted, want 3", n)
	}
}

// One more than there may be is refused while the oldest is young.
func TestKeysAreForgottenAfterTheWindowAndRefusedBefore(t *testing.T) {
	o := tinyOptions(t.TempDir())
	var mu sync.Mutex
	now := int64(1)
	o.Faults = &Faults{Boot: func() int64 { mu.Lock(); defer mu.Unlock(); return now }}
	o.MaxKeys, o.KeyWindow = 5, time.Hour
	l, _ := openLoop(t, o)
	send := func(i int) error {
		tk, err := l.s.AppendBatch(context.Background(), keyed(fmt.Sprint(i), "a", "v"))
		if err != nil {
			return err
		}
		return tk.Spooled(context.Background())
	}
	for i := range 5 {
		if err := send(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(5); !errors.Is(err, ErrKeyWindow) {
		t.Errorf("sixth key at once: %v", err)
	}
	mu.Lock()
	now += (16 * time.Minute).Milliseconds()
	mu.Unlock()
	if err := send(5); err != nil {
		t.Errorf("sixth key after 16 minutes: %v", err)
	}
	if n := l.s.Stats().Keys; n != 5 {
		t.Errorf("%d keys, want 5: the oldest makes room", n)
	}
	mu.Lock()
	now += (2 * time.Hour).Milliseconds()
	mu.Unlock()
	if err := send(1); err != nil {
		t.Error(err)
	}
	l.settle("a", spool.Span{First: 0, End: 20})
	l.quiet()
	if k := l.s.active.head.Keys; k != 1 {
		t.Errorf("%d blocks of keys on disk, want 1: the others are outside the window", k)
	}
	l.close()
}

func TestRepeatOfADeadLetteredRecordIsNotCalledAcked(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	b := keyed("k", "a", "v")
	tk, err := l.s.AppendBatch(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.write(&spool.Write{
		DeadLetters: []spool.DeadLetter{{Lane: 0, Index: 1, Code: 10}},
		Settle:      []spool.Settlement{{Spans: []spool.Span{{First: 1, End: 2}}, Outcome: spool.OutcomeDeadLettered}},
	})
	l.close()
	l, _ = openLoop(t, o)
	defer l.close()
	again, err := l.s.AppendBatch(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.At(1).Acked(context.Background()); !errors.Is(err, ErrDeadLettered) {
		t.Errorf("Acked: %v, want ErrDeadLettered", err)
	}
}
