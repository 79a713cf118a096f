package recovery

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// What the machine does right at each limit, and one step beyond.
func TestLimitsAreWhereTheyAreSaidToBe(t *testing.T) {
	const ok = protocol.None
	named := func(last protocol.Sequence) Named { return Named{Present: true, Epoch: 2, LastSequence: last} }
	single := func(_ int, b *Batch) { b.Count = 1 }
	aged := func(ms int64) func(int, *Batch) { return func(_ int, b *Batch) { b.SealedAge = now.Age - ms } }
	ackedAt := func(at protocol.Offset) func(int, *Batch) {
		return func(i int, b *Batch) {
			if i == 1 {
				b.Acked, b.Offset, b.Doubtful = true, at, false
			}
		}
	}
	old := func(_ int, b *Batch) { b.MaxTimestamp = wall - 30*hourMs }
	tests := []struct {
		name   string
		base   protocol.Sequence
		n      int
		change func(i int, b *Batch)
		next   protocol.Sequence // Facts.Next, if not what the batches say
		script []any
		want   string
	}{
		{"the leader's last sequence is 0", 0, 1, single, 1, []any{named(0), ok}, "ask, resend 0, settle 1 answer, done known=true"},
		{"our epoch, but no sequence", 0, 1, single, 1, []any{named(-1)}, "ask, park unexpected-state"},
		{"sealed just inside the margin", 0, 1, aged(20*hourMs - 1), 0, []any{Named{}, Tail{}, ok}, "ask, tail 100--1, resend 0, settle 1 answer, done known=true"},
		{"sealed just outside the margin", 0, 1, aged(20 * hourMs), 0, []any{Named{}, Tail{}}, "ask, tail 100--1, park outside-margin"},
		{"a later one was acked where the tail begins", 10, 2, ackedAt(100), 0, []any{Tail{}}, "tail 100-100, park overtaken"},
		{"a later one was acked below", 10, 2, ackedAt(99), 0, nil, "park log-went-back"},
		{"the log begins where the tail does", 10, 1, old, 0,
			[]any{named(11), Tail{LogStart: 100}, "again", named(11), Tail{LogStart: 100, Batches: []Logged{logged(10, 2, 100)}}},
			"ask, tail 100--1, pause, ask, tail 100--1, settle 1 tail, done known=true"},
		{"a later one is in a log that begins where the tail does", 0, 2, nil, 0,
			[]any{Named{}, Tail{LogStart: 100, Batches: []Logged{logged(2, 2, 300)}}}, "ask, tail 100--1, park overtaken"},
		{"the log's batch ends inside of ours", 10, 1, nil, 0, []any{Named{}, Tail{Batches: []Logged{logged(9, 2, 100)}}}, "ask, tail 100--1, park unexpected-state"},
		{"the log's batch ends where ours begins", 10, 1, func(_ int, b *Batch) { b.Doubtful, b.MaxTimestamp = true, wall }, 0,
			[]any{Named{}, Tail{Batches: []Logged{logged(8, 2, 100)}}}, "ask, tail 100--1, park state-forgotten"},
		{"2^30 behind what was sealed is below, not above", 10, 1, nil, 0,
			[]any{Named{}, Tail{Batches: []Logged{logged(protocol.Sequence(12).Next(1<<30), 1, 100)}}}, "ask, tail 100--1, park state-forgotten"},
		{"2^30 - 1 behind it is above", 10, 1, nil, 0,
			[]any{Named{}, Tail{Batches: []Logged{logged(protocol.Sequence(12).Next(1<<30-1), 1, 100)}}}, "ask, tail 100--1, stop"},
		{"the leader's last is 2^30 ahead", 10, 0, nil, 0, []any{named(protocol.Sequence(10).Next(1<<30 - 1))}, "ask, stop"},
		{"the leader's last is more than 2^30 ahead", 10, 0, nil, 0, []any{named(protocol.Sequence(10).Next(1 << 30))}, "ask, park log-went-back"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := facts(tt.base, tt.n)
			if tt.next != 0 {
				f.Next = tt.next
			}
			if got := run(New(f, batches(tt.base, tt.n, tt.change)), script(tt.script...)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Other producers write in between: two batches of ours that do not stand side by side each keep their place.
func TestEachBatchFoundInTheTailHasItsOwnOffset(t *testing.T) {
	r := New(facts(0, 2), batches(0, 2, nil))
	r.Next(now)
	r.Described(now, Named{})
	r.Next(now)
	r.TailRead(now, Tail{Batches: []Logged{logged(0, 2, 100), logged(2, 2, 300)}})
	if s := r.Next(now); s.Do != Settle || s.Count != 2 || s.Offsets[0] != 100 || s.Offsets[1] != 300 {
		t.Errorf("%+v, want both settled, at 100 and at 300", s)
	}
}

// Of three, the first is in the log, the second is not, and the third was acked.
func TestAnOvertakenBatchNamesTheOneThatOvertookIt(t *testing.T) {
	r := New(facts(10, 3), batches(10, 3, func(i int, b *Batch) {
		if i == 2 {
			b.Acked, b.Offset, b.Doubtful = true, 205, false
		}
	}))
	r.Next(now)
	r.TailRead(now, Tail{Batches: []Logged{logged(10, 2, 101)}})
	if s := r.Next(now); s.Do != Settle || s.Count != 1 || s.Offsets[0] != 101 {
		t.Fatalf("%+v, want the first one settled at 101", s)
	}
	if s := r.Next(now); s.Reason != spool.ParkOvertaken || !strings.Contains(s.Detail, "acked at offset 205, and batch at sequence 12 ") {
		t.Errorf("%+v, want sequence 12 parked, overtaken at 205", s)
	}
}

func TestAForgottenProducerIsParkedWithItsMargin(t *testing.T) {
	r := New(facts(10, 1), batches(10, 1, nil))
	r.Next(now)
	r.Described(now, Named{})
	r.Next(now)
	r.TailRead(now, Tail{})
	if s := r.Next(now); s.Reason != spool.ParkStateForgotten || !strings.Contains(s.Detail, "up to sequence 9 less than 1200 minutes ago") {
		t.Errorf("%+v, want the margin of 20 hours in minutes", s)
	}
}

// A leader that is about to move may say so for a while. Each batch that is settled meanwhile begins the count anew.
func TestFiveAnswersOutOfOrderInARowAreTaken(t *testing.T) {
	tests := []struct {
		name    string
		batches int
		odd     int // before each settled batch
		want    string
	}{
		{"five", 1, maxOdd, "done"},
		{"six", 1, maxOdd + 1, "park"},
		{"five for each of two batches", 2, maxOdd, "done"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last, odd := protocol.Sequence(9), 0
			got := run(New(facts(10, tt.batches), batches(10, tt.batches, nil)), func(s Step) any {
				switch s.Do {
				case Ask:
					return Named{Present: true, Epoch: 2, LastSequence: last}
				case Resend:
					if odd < tt.odd {
						odd++
						return protocol.OutOfOrderSequenceNumber
					}
					odd, last = 0, last+2
					return protocol.None
				}
				return "again"
			})
			if steps := strings.Split(got, ", "); !strings.HasPrefix(steps[len(steps)-1], tt.want) {
				t.Errorf("%s, want %s at the end", got, tt.want)
			}
		})
	}
}

// A batch of 20 seconds whose records are old was once called too old itself.
func TestAParkSaysWhichTimeIsOutsideTheMargin(t *testing.T) {
	for _, tt := range []struct {
		change func(i int, b *Batch)
		says   string
	}{
		{func(_ int, b *Batch) { b.SealedAge, b.MaxTimestamp = now.Age-20_000, now.Wall-30*hourMs }, "the timestamp of its newest record is 108000 s off this host's clock, the margin is 72000 s"},
		{func(_ int, b *Batch) { b.SealedAge, b.MaxTimestamp = now.Age-30*hourMs, now.Wall }, "it was made 108000 s ago, and the margin is 72000 s"},
		{func(_ int, b *Batch) { b.SealedAge, b.MaxTimestamp = now.Age-20*hourMs, now.Wall }, "it was made 72000 s ago"},
	} {
		r := New(facts(10, 1), batches(10, 1, tt.change))
		r.Next(now)
		r.Described(now, Named{})
		r.Next(now)
		r.TailRead(now, Tail{})
		if s := r.Next(now); s.Reason != spool.ParkOutsideMargin || !strings.Contains(s.Detail, tt.says) {
			t.Errorf("%+v, want it parked because %s", s, tt.says)
		}
	}
}
