package recovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

const (
	hourMs = int64(3600_000)
	wall   = 100 * 24 * hourMs
)

var (
	me  = protocol.ProducerIdentity{ID: 7, Epoch: 2}
	now = spool.Time{Wall: wall, Age: 50 * hourMs}
)

// batches of two records each, from sequence base on, sealed just now.
func batches(base protocol.Sequence, n int, change func(i int, b *Batch)) []Batch {
	var list []Batch
	for i := range n {
		b := Batch{Base: base.Next(2 * i), Count: 2, MaxTimestamp: wall - 1000, SealedAge: now.Age - 1000, Tail: 100, Doubtful: true, Offset: protocol.NoOffset}
		if change != nil {
			change(i, &b)
		}
		list = append(list, b)
	}
	return list
}

func facts(base protocol.Sequence, n int) Facts {
	f := Facts{Identity: me, Next: base.Next(2 * n), Settled: protocol.NoSequence, MarginMs: 20 * hourMs}
	if base != 0 {
		f.Settled, f.LastMaxTimestamp = base.Next(1<<31-1), wall-2000
	}
	return f
}

// run answers the machine until it ends, and returns what it wanted, a word a step.
func run(r *Resolver, answer func(Step) any) string {
	var out []string
	for range 40 {
		s := r.Next(now)
		switch s.Do {
		case Ask:
			out = append(out, "ask")
		case ReadTail:
			out = append(out, fmt.Sprintf("tail %d-%d", s.From, s.To))
		case Resend:
			out = append(out, fmt.Sprintf("resend %d", s.Index))
		case Settle:
			out = append(out, fmt.Sprintf("settle %d %s", s.Count, s.How))
			continue
		case Pause:
			out = append(out, "pause")
		case Park:
			return strings.Join(append(out, "park "+s.Reason), ", ")
		case Stop:
			return strings.Join(append(out, "stop"), ", ")
		case Refused:
			return strings.Join(append(out, fmt.Sprintf("refused final=%v", s.Final)), ", ")
		case Done:
			return strings.Join(append(out, fmt.Sprintf("done known=%v", s.Known)), ", ")
		}
		switch a := answer(s).(type) {
		case Named:
			r.Described(now, a)
		case Tail:
			r.TailRead(now, a)
		case protocol.ErrorCode:
			r.Resent(a, 500, false)
		case string:
			switch a {
			case "lost":
				r.Resent(protocol.RequestTimedOut, protocol.NoOffset, true)
			case "denied":
				r.Denied()
			case "again":
				r.Paused()
			}
		}
	}
	return strings.Join(append(out, "…"), ", ")
}

// script answers with its items in turn.
func script(items ...any) func(Step) any {
	return func(s Step) any {
		if len(items) == 0 {
			return nil
		}
		a := items[0]
		items = items[1:]
		return a
	}
}

func logged(base protocol.Sequence, n int32, at protocol.Offset) Logged {
	return Logged{Identity: me, Base: base, Count: n, Offset: at}
}

func TestTheMachineAsksReadsAndSendsInThisOrder(t *testing.T) {
	const ok = protocol.None
	named := func(last protocol.Sequence) Named { return Named{Present: true, Epoch: 2, LastSequence: last} }
	old := func(i int, b *Batch) { b.MaxTimestamp = wall - 30*hourMs }
	sealedLongAgo := func(i int, b *Batch) { b.SealedAge = now.Age - 30*hourMs }
	never := func(i int, b *Batch) { b.Doubtful = false }
	tests := []struct {
		name   string
		base   protocol.Sequence
		n      int
		change func(i int, b *Batch)
		facts  func(*Facts)
		script []any
		want   string
	}{
		{"nothing in doubt, as settled", 10, 0, nil, nil, []any{named(9)}, "ask, done known=true"},
		{"nothing in doubt, forgotten", 10, 0, nil, nil, []any{Named{}}, "ask, done known=false"},
		{"nothing in doubt, above", 10, 0, nil, nil, []any{named(12)}, "ask, stop"},
		{"nothing in doubt, below", 10, 0, nil, nil, []any{named(3)}, "ask, park log-went-back"},
		{"nothing in doubt, across the wrap", 2, 0, nil, nil, []any{named(1)}, "ask, done known=true"},
		{"below the wrap", 2, 0, nil, nil, []any{named(2147483646)}, "ask, park log-went-back"},
		{"a higher epoch", 10, 1, nil, nil, []any{Named{Present: true, Epoch: 3, LastSequence: 0}}, "ask, stop"},
		{"a lower epoch, nothing acked", 0, 2, nil, nil, []any{Named{Present: true, Epoch: 1, LastSequence: 99}, ok, ok},
			"ask, resend 0, settle 1 answer, resend 0, settle 1 answer, done known=true"},
		{"a lower epoch, something acked", 10, 2, nil, nil, []any{Named{Present: true, Epoch: 1, LastSequence: 99}}, "ask, park log-went-back"},
		{"all five in the log", 10, 5, nil, nil, []any{named(19), ok}, "ask, resend 4, settle 5 answer, done known=true"},
		{"two of four in the log", 10, 4, nil, nil, []any{named(13), ok, ok, ok},
			"ask, resend 1, settle 2 answer, resend 0, settle 1 answer, resend 0, settle 1 answer, done known=true"},
		{"across the wrap", 2147483646, 2, nil, nil, []any{named(2147483647), ok, ok},
			"ask, resend 0, settle 1 answer, resend 0, settle 1 answer, done known=true"},
		{"none in the log", 10, 2, nil, nil, []any{named(9), ok, ok}, "ask, resend 0, settle 1 answer, resend 0, settle 1 answer, done known=true"},
		{"a sequence inside a batch", 10, 2, nil, nil, []any{named(10)}, "ask, park unexpected-state"},
		{"above the last sealed", 10, 2, nil, nil, []any{named(14)}, "ask, stop"},
		{"the named one is refused, then found", 10, 2, nil, nil,
			[]any{named(13), protocol.InvalidTimestamp, Tail{Batches: []Logged{logged(10, 2, 100), logged(12, 2, 102)}}},
			"ask, resend 1, tail 100--1, settle 2 tail, done known=true"},
		{"the named one is refused, and not replicated yet", 10, 1, nil, nil,
			[]any{named(11), protocol.MessageTooLarge, Tail{}, "again", named(11), ok},
			"ask, resend 0, tail 100--1, pause, ask, resend 0, settle 1 answer, done known=true"},
		{"the named one is too old to be sent again", 10, 1, old, nil,
			[]any{named(11), Tail{Batches: []Logged{logged(10, 2, 100)}}}, "ask, tail 100--1, settle 1 tail, done known=true"},
		{"the named one is too old to be sent again, and the log begins above", 10, 1, old, nil,
			[]any{named(11), Tail{LogStart: 101}}, "ask, tail 100--1, park tail-unreadable"},
		{"absent, found by the tail", 10, 2, nil, nil, []any{Named{}, Tail{Batches: []Logged{logged(10, 2, 100), logged(12, 2, 102)}}},
			"ask, tail 100--1, settle 2 tail, done known=false"},
		{"absent, and the first of two arrives before the tail is read", 10, 2, nil, nil, []any{Named{}, Tail{Batches: []Logged{logged(10, 2, 100)}}, named(11), ok},
			"ask, tail 100--1, settle 1 tail, ask, resend 0, settle 1 answer, done known=true"},
		{"absent, covered by a batch that was split since", 10, 2, nil, nil, []any{Named{}, Tail{Batches: []Logged{logged(10, 4, 100)}}},
			"ask, tail 100--1, settle 2 tail, done known=false"},
		{"absent, not found, nothing ever acked", 0, 1, nil, nil, []any{Named{}, Tail{}, ok},
			"ask, tail 100--1, resend 0, settle 1 answer, done known=true"},
		{"absent, not found, acked lately", 10, 1, nil, nil, []any{Named{}, Tail{}}, "ask, tail 100--1, park state-forgotten"},
		{"absent, not found, idle for long", 10, 1, nil, func(f *Facts) { f.LastMaxTimestamp = wall - 30*hourMs }, []any{Named{}, Tail{}, ok},
			"ask, tail 100--1, resend 0, settle 1 answer, done known=true"},
		{"absent, not found, old record", 0, 1, old, nil, []any{Named{}, Tail{}}, "ask, tail 100--1, park outside-margin"},
		{"absent, not found, sealed long ago", 0, 1, sealedLongAgo, nil, []any{Named{}, Tail{}}, "ask, tail 100--1, park outside-margin"},
		{"absent, the log begins above", 0, 1, nil, nil, []any{Named{}, Tail{LogStart: 101}}, "ask, tail 100--1, park tail-unreadable"},
		{"absent, no right to read", 0, 1, nil, nil, []any{Named{}, Tail{Err: "no"}}, "ask, tail 100--1, park tail-unreadable"},
		{"absent, never sent", 10, 1, never, nil, []any{Named{}, ok}, "ask, resend 0, settle 1 answer, done known=true"},
		{"no right to ask", 10, 1, nil, nil, []any{"denied", ok}, "ask, resend 0, settle 1 answer, done known=true"},
		{"no right to ask, too old", 10, 1, old, nil, []any{"denied"}, "ask, park outside-margin"},
		{"no right to ask, out of order", 10, 1, nil, nil, []any{"denied", protocol.OutOfOrderSequenceNumber}, "ask, resend 0, park unexpected-state"},
		{"no right to ask, fenced", 10, 1, nil, nil, []any{"denied", protocol.InvalidProducerEpoch}, "ask, resend 0, park unexpected-state"},
		{"a lost answer is asked about", 10, 1, nil, nil, []any{named(9), "lost", "again", named(11), ok},
			"ask, resend 0, pause, ask, resend 0, settle 1 answer, done known=true"},
		{"refused, other copies about, leader knows us", 10, 1, nil, nil, []any{named(9), protocol.MessageTooLarge}, "ask, resend 0, refused final=false"},
		{"refused, the only copy", 10, 1, never, nil, []any{named(9), protocol.MessageTooLarge}, "ask, resend 0, refused final=true"},
		{"refused, other copies about, leader does not know us", 0, 1, nil, nil, []any{Named{}, Tail{}, protocol.MessageTooLarge},
			"ask, tail 100--1, resend 0, refused final=false"},
		{"overtaken and found", 10, 2, func(i int, b *Batch) {
			if i == 1 {
				b.Acked, b.Offset, b.Doubtful = true, 205, false
			}
		}, nil, []any{Tail{Batches: []Logged{logged(10, 2, 203)}}, named(13)}, "tail 100-205, settle 2 tail, ask, done known=true"},
		{"overtaken and not found", 10, 2, func(i int, b *Batch) {
			if i == 1 {
				b.Acked, b.Offset, b.Doubtful = true, 205, false
			}
		}, nil, []any{Tail{}}, "tail 100-205, park overtaken"},
		{"absent, and the log ends below", 0, 1, nil, nil, []any{Named{}, Tail{Below: true}}, "ask, tail 100--1, park log-went-back"},
		{"absent, cut in two in the log", 0, 1, nil, nil, []any{Named{}, Tail{Batches: []Logged{logged(0, 1, 200), logged(1, 1, 201)}}, named(1)},
			"ask, tail 100--1, settle 1 tail, done known=false"},
		{"absent, and one half of it in the log", 0, 1, nil, nil, []any{Named{}, Tail{Batches: []Logged{logged(0, 1, 200)}}}, "ask, tail 100--1, park unexpected-state"},
		{"absent, but a later one is in the log", 0, 2, nil, nil, []any{Named{}, Tail{Batches: []Logged{logged(2, 2, 300)}}}, "ask, tail 100--1, park overtaken"},
		{"absent where the log was cut off, and a later one is in the log", 0, 2, nil, nil, []any{Named{}, Tail{LogStart: 101, Batches: []Logged{logged(2, 2, 300)}}},
			"ask, tail 100--1, settle 2 tail, done known=false"},
		{"overtaken by what lies below everything", 10, 2, func(i int, b *Batch) {
			if i == 1 {
				b.Acked, b.Offset, b.Doubtful = true, 50, false
			}
		}, nil, nil, "park log-went-back"},
		{"overtaken, the log begins above", 10, 2, func(i int, b *Batch) {
			if i == 1 {
				b.Acked, b.Offset, b.Doubtful = true, 205, false
			}
		}, nil, []any{Tail{LogStart: 101}}, "tail 100-205, park tail-unreadable"},
	}
	for _, tt := range tests {
		f := facts(tt.base, tt.n)
		if tt.facts != nil {
			tt.facts(&f)
		}
		if got := run(New(f, batches(tt.base, tt.n, tt.change)), script(tt.script...)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestAnotherProducersBatchesInTheTailProveNothing(t *testing.T) {
	other := Logged{Identity: protocol.ProducerIdentity{ID: 7, Epoch: 1}, Base: 0, Count: 2, Offset: 100}
	got := run(New(facts(0, 1), batches(0, 1, nil)), script(Named{}, Tail{Batches: []Logged{other}}, protocol.None))
	if want := "ask, tail 100--1, resend 0, settle 1 answer, done known=true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An original cut a batch in two that its copy has in doubt as one, and others wrote in between. Found by the simulated world.
func TestABatchInPiecesThatAreApartIsSettledWithoutAPlace(t *testing.T) {
	for _, tt := range []struct {
		second protocol.Offset
		want   protocol.Offset
	}{{101, 100}, {102, protocol.NoOffset}, {99, protocol.NoOffset}} {
		pieces := []Logged{{Identity: me, Base: 0, Count: 1, Offset: 100}, {Identity: me, Base: 1, Count: 1, Offset: tt.second}}
		r := New(facts(0, 1), batches(0, 1, nil))
		r.Next(now)
		r.Described(now, Named{})
		r.Next(now)
		r.TailRead(now, Tail{Batches: pieces})
		if s := r.Next(now); s.Do != Settle || s.Count != 1 || s.Offsets[0] != tt.want {
			t.Errorf("pieces at 100 and %d: %+v, want it settled at %d", tt.second, s, tt.want)
		}
	}
}

// The leader has forgotten the producer, but its log has not what it wrote. Found by the simulated world.
func TestACopyIsNoticedByWhatTheLogHoldsBeyondItsSeals(t *testing.T) {
	r := New(facts(0, 1), batches(0, 1, nil))
	r.Next(now)
	r.Described(now, Named{})
	r.Next(now)
	r.TailRead(now, Tail{Batches: []Logged{{Identity: me, Base: 0, Count: 2, Offset: 100}, {Identity: me, Base: 2, Count: 1, Offset: 102}}})
	if s := r.Next(now); s.Do != Stop {
		t.Errorf("%+v, want it stopped: somebody went on behind what this spool has sealed", s)
	}
}

// What is known over one connection may be forgotten when the next one comes, and nobody may be asked.
func TestWithoutTheRightToAskAFormerConnectionProvesNothing(t *testing.T) {
	r := New(facts(10, 2), batches(10, 2, nil))
	later := spool.Time{Wall: now.Wall + 30*hourMs, Age: now.Age + 30*hourMs}
	r.Next(now)
	r.Denied()
	if s := r.Next(now); s.Do != Resend {
		t.Fatalf("%+v, want the first batch sent again", s)
	}
	r.Resent(protocol.None, 500, false)
	r.Next(now) // settled
	r.Next(now)
	r.Resent(protocol.RequestTimedOut, protocol.NoOffset, true)
	r.Interrupted()
	if s := r.Next(later); s.Do != Park || s.Reason != spool.ParkOutsideMargin {
		t.Errorf("after 30 hours without a connection: %+v, want it parked outside the margin", s)
	}
}

// The broker remembers a producer by the last batch that it appended, which may be one behind with older records. Found by
// the simulated world.
func TestWithoutTheRightToAskTheOldestBatchDecides(t *testing.T) {
	old := func(i int, b *Batch) {
		if i == 1 {
			b.MaxTimestamp = now.Wall - 21*hourMs
		}
	}
	for _, tt := range []struct {
		name   string
		change func(i int, b *Batch)
		denied bool
		want   Do
	}{
		{"who may not ask, and it may have been appended", old, true, Park},
		{"who may not ask, and it was never sent", func(i int, b *Batch) {
			old(i, b)
			b.Doubtful = i != 1
		}, true, Resend},
		{"who may not ask, and it is young", nil, true, Resend},
		{"who may ask sees it in the log", old, false, Ask},
	} {
		r := New(facts(10, 2), batches(10, 2, tt.change))
		r.Next(now)
		if tt.denied {
			r.Denied()
		}
		if s := r.Next(now); s.Do != tt.want || tt.want == Park && s.Reason != spool.ParkOutsideMargin {
			t.Errorf("%s: %+v, want %d", tt.name, s, tt.want)
		}
	}
}

func TestALeaderThatStaysOutOfOrderForNoReasonParksAfterAFewTries(t *testing.T) {
	asked := 0
	got := run(New(facts(10, 1), batches(10, 1, nil)), func(s Step) any {
		switch s.Do {
		case Ask:
			asked++
			return Named{Present: true, Epoch: 2, LastSequence: 9}
		case Resend:
			return protocol.OutOfOrderSequenceNumber
		}
		return "again"
	})
	if !strings.HasSuffix(got, "park unexpected-state") || asked > maxOdd+1 {
		t.Errorf("asked %d times: %s", asked, got)
	}
}
