package bolt

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spoold/spoold/integration/poll"
)

// behind is a spool whose disk hangs in a commit, until it is let go, and whose open group is full but for less than 1 KiB.
func behind(t *testing.T) (l *testLoop, letGo func()) {
	t.Helper()
	o := tinyOptions(t.TempDir())
	hang, entered := make(chan struct{}), make(chan struct{})
	var on atomic.Bool
	o.Faults = &Faults{Commit: func(commit func() error) error {
		if on.CompareAndSwap(true, false) {
			close(entered)
			<-hang
		}
		return commit()
	}}
	l, _ = openLoop(t, o)
	t.Cleanup(l.close)
	letGo = sync.OnceFunc(func() { close(hang) })
	t.Cleanup(letGo)
	on.Store(true)
	mustAppend(t, l.s, "fill", "first")
	<-entered
	for l.s.hasRoom(1 << 10) {
		mustAppend(t, l.s, "fill", strings.Repeat("f", 500))
	}
	return l, letGo
}

func (s *Store) hasRoom(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.bytes+size <= s.space.hardCap
}

// awaitTurns waits until so many wait.
func (l *testLoop) awaitTurns(n int) {
	l.t.Helper()
	have := 0
	if !poll.Until(func() bool {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		have = len(l.s.turns.list)
		return have == n
	}) {
		l.t.Fatalf("%d wait, want %d", have, n)
	}
}

// Who waits for room gets it in the order of coming, whatever the size: a small record that would fit waits behind a large one.
func TestRoomIsGivenInTheOrderOfWaiting(t *testing.T) {
	l, letGo := behind(t)
	var wg sync.WaitGroup
	values := []string{strings.Repeat("A", 9000), "b", strings.Repeat("C", 20000), "d", "e", strings.Repeat("F", 30000), "g"}
	for i, v := range values {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = l.s.Append(context.Background(), "t", 1, 0, nil, []byte(v), nil)
			} else {
				_, err = l.s.AppendBatch(context.Background(), &BatchInput{Records: []RecordInput{{Topic: "t", Value: []byte(v)}}})
			}
			if err != nil {
				t.Error(err)
			}
		})
		l.awaitTurns(i + 1)
	}
	letGo()
	wg.Wait()
	l.awaitTurns(0)
	if err := l.s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.expect("t", values)
}

// Who gives up does not keep the others waiting, first or not.
func TestWhoGivesUpWaitingLetsTheNextOneIn(t *testing.T) {
	l, letGo := behind(t)
	var wg sync.WaitGroup
	ctx, giveUp := context.WithCancel(context.Background())
	for i, v := range []string{strings.Repeat("A", 9000), "b", strings.Repeat("C", 9000), "d"} {
		wg.Go(func() {
			if i%2 == 1 {
				if _, err := l.s.Append(context.Background(), "t", 1, 0, nil, []byte(v), nil); err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := l.s.Append(ctx, "t", 1, 0, nil, []byte(v), nil); !errors.Is(err, ErrFull) || !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want ErrFull: canceled", err)
			}
		})
		l.awaitTurns(i + 1)
	}
	giveUp()
	wg.Wait() // "b" and "d" fit into what the full group has left
	letGo()
	if err := l.s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.expect("t", []string{"b", "d"})
}

// expect waits for a topic's records and compares them, in order.
func (l *testLoop) expect(topic string, want []string) {
	l.t.Helper()
	l.wait(func() bool { id, ok := l.lanes[topic]; return ok && len(l.entries[id]) >= len(want) })
	l.mu.Lock()
	records := l.entries[l.lanes[topic]]
	var got []string
	for _, i := range slices.Sorted(maps.Keys(records)) {
		got = append(got, string(records[i].Value))
	}
	l.mu.Unlock()
	if !slices.Equal(got, want) {
		l.t.Errorf("records are not in the order of waiting: lengths %v", lengths(got))
	}
}

func lengths(values []string) (all []int) {
	for _, v := range values {
		all = append(all, len(v))
	}
	return all
}
