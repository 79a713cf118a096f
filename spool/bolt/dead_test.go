package bolt

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

func deadValue(i spool.Index) string { return fmt.Sprintf("%d %s", i, strings.Repeat("d", 900)) }

// bury appends n records to a topic and makes every third one a dead letter; the others are acked.
func (l *testLoop) bury(topic string, n spool.Index) (dead []spool.Index) {
	l.t.Helper()
	b := &BatchInput{}
	for i := range n {
		b.Records = append(b.Records, RecordInput{Topic: topic, Timestamp: 7, Partition: -1, Value: []byte(deadValue(i))})
		if len(b.Records) == 20 || i == n-1 {
			tk, err := l.s.AppendBatch(context.Background(), b)
			if err == nil {
				err = tk.Spooled(context.Background())
			}
			if err != nil {
				l.t.Fatal(err)
			}
			b = &BatchInput{}
		}
	}
	l.wait(func() bool { id, ok := l.lanes[topic]; return ok && len(l.entries[id]) == int(n) })
	id := l.laneOf(topic)
	w := &spool.Write{}
	for i := range n {
		outcome := spool.OutcomeAcked
		if i%3 == 0 {
			outcome = spool.OutcomeDeadLettered
			dead = append(dead, i)
			w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Lane: id, Index: i, Partition: int32(i % 2), Code: 87, Message: "no key", Attempts: 1, At: int64(i)})
		}
		w.Settle = append(w.Settle, spool.Settlement{Lane: id, Spans: []spool.Span{{First: i, End: i + 1}}, Outcome: outcome})
	}
	l.write(w)
	return dead
}

// checkDead compares the dead letters of a topic, in number, reason and entry.
func (l *testLoop) checkDead(topic string, want []spool.Index) {
	l.t.Helper()
	list := l.s.DeadLetters(DeadFilter{Topic: topic}, -1)
	if len(list) != len(want) {
		l.t.Fatalf("%d dead letters, want %d", len(list), len(want))
	}
	for i, d := range list {
		if d.Index != want[i] || d.Message != "no key" || d.Topic != topic {
			l.t.Fatalf("dead letter %d is %+v, want record %d", i, d, want[i])
		}
		raw, err := l.s.DeadEntry(d.Lane, d.Index)
		if err != nil {
			l.t.Fatal(err)
		}
		e, _, err := spool.NextEntry(raw)
		if err != nil {
			l.t.Fatal(err)
		}
		if r, err := e.Record(); err != nil || string(r.Value) != deadValue(d.Index) || int64(len(raw)) != d.Bytes {
			l.t.Fatalf("dead letter %d has value %.20q of %d bytes (%v)", d.Index, r.Value, d.Bytes, err)
		}
	}
	st := l.s.Stats()
	if c := st.Counters; c.Accepted != c.Acked+c.Pending()+c.DeadLettered+c.Expired {
		l.t.Errorf("counters %+v", c)
	}
}

// Dead letters stay in their blocks, are carried when a segment is rewritten, and cost the state two bytes each. Copies of
// them went from segment to segment with every rotation.
func TestDeadLettersAreHeldThroughRewritingAndRestarts(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.RewriteAfter = time.Millisecond
	l, _ := openLoop(t, o)
	dead := l.bury("a", 900)
	l.checkDead("a", dead)
	end := spool.Index(0)
	for range 40 { // what comes and goes beside them
		tk := mustAppend(t, l.s, "b", strings.Repeat("x", 20_000))
		if err := tk.Spooled(context.Background()); err != nil {
			t.Fatal(err)
		}
		end++
		l.write(&spool.Write{Settle: []spool.Settlement{{Lane: 1, Spans: []spool.Span{{First: end - 1, End: end}}, Outcome: spool.OutcomeAcked}}})
	}
	l.checkDead("a", dead)
	if n := l.s.active.stateBytes; n > 4<<10 {
		t.Errorf("the state takes %d bytes for %d dead letters", n, len(dead))
	}
	l.within(300 * 930)
	l.close()
	l, _ = openLoop(t, o)
	l.checkDead("a", dead)
	if n, err := l.s.DropDead(context.Background(), DeadFilter{Topic: "a"}, Drop{}); err != nil || n != len(dead) {
		t.Errorf("%d are dropped, %v", n, err)
	}
	l.checkDead("a", nil)
	l.within(0)
	l.close()
	l, _ = openLoop(t, o)
	l.checkDead("a", nil)
	l.close()
}

func TestReplayedDeadLettersComeAgainOnceAsNewRecords(t *testing.T) {
	o := tinyOptions(t.TempDir())
	l, _ := openLoop(t, o)
	dead := l.bury("a", 90)
	one := int32(1)
	var odd []spool.Index
	for _, i := range dead {
		if i%2 == 0 {
			odd = append(odd, i)
		}
	}
	n, _, err := l.s.ReplayDead(context.Background(), DeadFilter{Topic: "a", Partition: &one}, Replay{})
	if err != nil || n != len(dead)-len(odd) {
		t.Fatalf("%d are replayed, %v", n, err)
	}
	for range 2 {
		l.checkDead("a", odd)
		got := readAll(t, l.s, 0)
		if len(got) != n {
			t.Errorf("%d records are pending, want %d", len(got), n)
		}
		at := spool.Index(90)
		for _, i := range dead {
			if i%2 == 1 {
				if got[at] != deadValue(i) {
					t.Errorf("record %d is %.20q, want the copy of %d", at, got[at], i)
				}
				at++
			}
		}
		if again, _, err := l.s.ReplayDead(context.Background(), DeadFilter{Partition: &one}, Replay{}); again != 0 || err != nil {
			t.Errorf("%d are replayed again, %v", again, err)
		}
		l.close()
		l, _ = openLoop(t, o)
	}
	l.close()
}

// The oldest go first, and the spool keeps a record of how many went and why.
func TestDeadLettersStayWithinTheirLimit(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.DeadBytes = 20_000
	l, _ := openLoop(t, o)
	dead := l.bury("a", 90)
	l.checkDead("a", dead)
	l.bury2("a", 91)
	list := l.s.DeadLetters(DeadFilter{}, -1)
	if total := l.s.dead.deadBytes; total > o.DeadBytes || len(list) >= len(dead)+1 || list[len(list)-1].Index != 90 {
		t.Errorf("%d dead letters of %d bytes, the last is record %d", len(list), total, list[len(list)-1].Index)
	}
	l.close()
	in, err := Look(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := in.DeadLetters(DeadFilter{}, -1); err != nil || len(got) != len(list) {
		t.Errorf("offline there are %d, %v", len(got), err)
	}
}

// bury2 makes one more record a dead letter.
func (l *testLoop) bury2(topic string, n int) {
	tk := mustAppend(l.t, l.s, topic, deadValue(spool.Index(n-1)))
	if err := tk.Spooled(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	l.wait(func() bool { return len(l.entries[0]) == n })
	at := spool.Index(n - 1)
	l.write(&spool.Write{
		DeadLetters: []spool.DeadLetter{{Lane: 0, Index: at, Code: 87, Message: "no key", At: int64(n)}},
		Settle:      []spool.Settlement{{Lane: 0, Spans: []spool.Span{{First: at, End: at + 1}}, Outcome: spool.OutcomeDeadLettered}},
	})
}

// Those that format version 1 kept in the state are moved into blocks, and are the same.
func TestDeadLettersOfFormatVersion1AreMovedIntoBlocks(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "testdata/spool-v1.tar.gz", dir)
	o := goldenOptions(dir)
	o.RewriteAfter = time.Millisecond
	for range 2 {
		l, _ := openLoop(t, o)
		deadline := time.Now().Add(10 * time.Second)
		for len(l.s.DeadLetters(DeadFilter{}, -1)) < 2 && time.Now().Before(deadline) {
			l.quiet()
		}
		list := l.s.DeadLetters(DeadFilter{Topic: "b"}, -1)
		if len(list) != 2 || list[0].Message != "too large" || list[1].Code != 87 || list[1].Index != 47 {
			t.Fatalf("dead letters %+v", list)
		}
		for _, d := range list {
			raw, err := l.s.DeadEntry(d.Lane, d.Index)
			if err != nil {
				t.Fatal(err)
			}
			e, _, _ := spool.NextEntry(raw)
			if r, err := e.Record(); err != nil || string(r.Value) != goldenValue("b", int(d.Index)) {
				t.Errorf("dead letter %d: %v", d.Index, err)
			}
		}
		l.s.view.RLock()
		left := l.s.state.HasFormerDead()
		l.s.view.RUnlock()
		if left {
			t.Error("some are left in the state")
		}
		l.close()
	}
	checkGolden(t, dir)
}
