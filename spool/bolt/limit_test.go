package bolt

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// A small spool is full of small records, and all of them are refused for good, one after the other. What is known of a dead letter takes
// more than such a record itself.
func TestDeadLettersOfAFullSpoolStayWithinItsLimit(t *testing.T) {
	for _, block := range []bool{false, true} {
		o := tinyOptions(t.TempDir())
		o.MaxBytes, o.DeadBlock, o.RewriteAfter = minLimit, block, time.Millisecond
		var s *Store
		var over, dropped int64
		full := false
		o.Observe = func(c CommitStats) {
			if s == nil {
				return
			}
			st := s.Stats()
			over = max(over, st.DiskBytes-st.Limit)
			dropped += int64(c.Dropped)
			full = s.dead.deadFull()
		}
		l, _ := openLoop(t, o)
		s = l.s
		taken := 0
		for {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			b := &BatchInput{}
			for range 50 {
				b.Records = append(b.Records, RecordInput{Topic: "a", Timestamp: 1, Partition: -1, Value: []byte("tiny")})
			}
			if _, err := s.AppendBatch(ctx, b); errors.Is(err, ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if err := s.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			taken += 50
		}
		dead := 0
		for at := spool.Index(0); int(at) < taken && dead < 4500; at += 10 {
			w := &spool.Write{}
			for i := at; i < at+10; i++ {
				w.Settle = append(w.Settle, spool.Settlement{Spans: []spool.Span{{First: i, End: i + 1}}, Outcome: spool.OutcomeDeadLettered})
				w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Index: i, Code: 87, Message: strings.Repeat("refused ", 5)})
			}
			l.write(w)
			if err := s.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			if dead += 10; full {
				break
			}
		}
		l.close()
		if over > 0 {
			t.Errorf("block %v: the files owned %d bytes more than they may, with %d records, %d of them dead letters", block, over, taken, dead)
		}
		if block != full || block != (dropped == 0) || taken < 1000 {
			t.Errorf("block %v: of %d records %d became dead letters, and %d were dropped; no room for more: %v", block, taken, dead, dropped, full)
		}
	}
}
