package idempotence

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// doubtfullyRefused has a batch of two refused of which another copy may be in the log: it is kept, and the next epoch has begun.
func doubtfullyRefused(t *testing.T) *bench {
	t.Helper()
	b := newBench(t).known()
	s := b.one(1)
	b.Answered(&b.e, s, NoAnswer("cut"))
	b.advance(1)
	b.advance(2000)
	b.Described(&b.e, recovery.Named{Present: true, LastSequence: 0}, false, 1)
	b.advance(1)
	if again := b.send(); len(again) != 1 {
		t.Fatalf("%d batches are sent again, want 1", len(again))
	}
	b.e.Write = spool.Write{}
	b.fail(s, protocol.InvalidRecord)
	b.advance(1)
	if len(b.refusedMaybe) != 1 || len(b.window) != 0 || b.Sequences().Identity.Epoch != 1 {
		t.Fatalf("%d refused are kept, window %v, identity %v", len(b.refusedMaybe), b.window, b.Sequences().Identity)
	}
	if seals := b.e.Write.Seals; len(seals) != 1 || seals[0].Refused != protocol.InvalidRecord {
		t.Fatalf("seals %+v, want it marked", seals)
	}
	return b
}

func TestTheLogShowsWhatBecameOfARefusedBatch(t *testing.T) {
	for _, tt := range []struct {
		name        string
		tail        recovery.Tail
		acked, dead int
		park        string
	}{
		{"it is there", recovery.Tail{Batches: []recovery.Logged{{Identity: protocol.ProducerIdentity{ID: 7}, Base: 1, Count: 1, Offset: 4}}}, 1, 0, ""},
		{"it is not", recovery.Tail{}, 0, 1, ""},
		{"the log begins where it may lie", recovery.Tail{LogStart: 1}, 0, 1, ""},
		{"the log begins above", recovery.Tail{LogStart: 2}, 0, 0, spool.ParkTailUnreadable},
		{"it cannot be read", recovery.Tail{Err: "no"}, 0, 0, spool.ParkTailUnreadable},
	} {
		b := doubtfullyRefused(t)
		next := b.one(1)
		b.ack(next, 9)
		if !b.boundKnown || b.bound != 9 {
			t.Fatalf("bound %d, known %v, want 9", b.bound, b.boundKnown)
		}
		b.spool(1)
		w := b.advance(1)
		if w.Do != ReadTail || w.From != 1 || w.To != 9 || len(b.window) != 0 {
			t.Fatalf("wants %+v with %d sealed, want the log from 1 to 9", w, len(b.window))
		}
		round := b.Round()
		b.way++
		if w := b.advance(1); w.Do != ReadTail || b.Round() != round+1 {
			t.Errorf("over another way it wants %+v, round %d after %d", w, b.Round(), round)
		}
		b.e.Write, b.e.Deliver = spool.Write{}, nil
		b.TailRead(&b.e, tt.tail)
		acked := 0
		for _, s := range b.e.Write.Settle {
			if s.Outcome == spool.OutcomeAcked {
				acked++
			}
		}
		if acked != tt.acked || len(b.e.Write.DeadLetters) != tt.dead || b.Park().Reason != tt.park {
			t.Errorf("%s: %d acked, %d dead letters, park %q", tt.name, acked, len(b.e.Write.DeadLetters), b.Park().Reason)
		}
		if tt.park == "" && (b.Phase() != Ready || len(b.e.Write.Unseal) != 1 || b.boundKnown) {
			t.Errorf("%s: phase %v, %d unsealed", tt.name, b.Phase(), len(b.e.Write.Unseal))
		}
		if tt.acked > 0 && (b.e.Deliver[0].Offset != 4 || b.e.Deliver[0].Timestamp != -1) {
			t.Errorf("%s: delivered %+v", tt.name, b.e.Deliver)
		}
	}
}

func TestARefusedBatchParksWhereTheBoundIsNotKnown(t *testing.T) {
	b := doubtfullyRefused(t)
	b.Answered(&b.e, b.one(1), Answer{Code: protocol.DuplicateSequenceNumber, Offset: protocol.NoOffset, Stamp: -1})
	if b.Park().Reason != spool.ParkRefused {
		t.Errorf("park %+v, want it parked: the first ack of the epoch has no place", b.Park())
	}
}

func TestABoundIsThatOfTheFirstAckOfAnEpoch(t *testing.T) {
	b := newBench(t).known()
	b.ack(b.one(1), 5)
	if b.boundKnown {
		t.Error("a bound with nothing refused")
	}
	b = doubtfullyRefused(t)
	b.seq.Settled = 0
	b.ack(b.one(1), 9)
	if b.boundKnown {
		t.Error("the second ack of an epoch is its bound")
	}
	b = newBench(t)
	b.Restore(&spool.PartitionState{Identity: protocol.ProducerIdentity{ID: 3}, Next: 6, Settled: 5, LastOffset: 9})
	if b.Restored(); b.boundKnown {
		t.Error("a start finds a bound with nothing refused")
	}
}

func TestAStartOrdersItsWindowFromWhatIsSettled(t *testing.T) {
	const last = protocol.Sequence(1<<31 - 1)
	b := newBench(t)
	b.Restore(&spool.PartitionState{Identity: protocol.ProducerIdentity{ID: 3}, Next: 1, Settled: last - 1, LastOffset: 9})
	for _, base := range []protocol.Sequence{0, last} {
		b.RestoreSeal(&spool.Seal{SealKey: spool.SealKey{Identity: protocol.ProducerIdentity{ID: 3}, Base: base}, Count: 1})
	}
	b.Restored()
	if b.window[0].Seal.Base != last || b.window[1].Seal.Base != 0 {
		t.Errorf("the window begins at %d, want %d: the sequence wraps", b.window[0].Seal.Base, last)
	}
}

func TestABatchIsEncodedWhileItsSealIsWritten(t *testing.T) {
	b := newBench(t).ready()
	b.spool(1)
	b.e.Encode = nil
	b.advance(1)
	if len(b.e.Encode) != 1 || b.e.Encode[0] != b.window[0].Batch {
		t.Errorf("to encode: %v", b.e.Encode)
	}
	b.e.Encode = nil
	if b.e.putSeal(&Sealed{}); len(b.e.Encode) != 0 {
		t.Error("a seal whose bytes are in the spool only is encoded")
	}
}

func TestWhatATimestampWaitsForIsSaid(t *testing.T) {
	for _, tt := range []struct {
		ms   int64 // ahead of this host's clock
		why  string
		says string
	}{
		{1, "", "the timestamp is ahead of the broker's clock; it is tried again until that is no longer so"},
		{0, "", "the timestamp is outside of what the topic takes"},
		{-1000, "", "the timestamp is outside of what the topic takes"},
		{-1000, "words", "or it is put aside (words)"},
	} {
		b := newBench(t).known()
		s := b.one(1)
		s.message = tt.why
		stamp, err := s.Batch.Timestamp(0)
		if err != nil {
			t.Fatal(err)
		}
		b.e.Now.Wall = stamp - tt.ms
		got := healText(&b.e, s, 0)
		if !strings.Contains(got, tt.says) || strings.HasSuffix(got, ")") != (tt.why != "") && tt.ms > 0 {
			t.Errorf("%d ms ahead: %q, want %q", tt.ms, got, tt.says)
		}
	}
}

func TestATopicsSizeIsLearntFromABatchThatWasTooLarge(t *testing.T) {
	for _, tt := range []struct {
		records int
		code    protocol.ErrorCode
		learnt  bool
	}{
		{4, protocol.MessageTooLarge, true}, {4, protocol.RecordListTooLarge, true}, {4, protocol.InvalidRecord, false},
		{1, protocol.MessageTooLarge, false}, // there is nothing to cut
	} {
		b := newBench(t).known()
		b.fail(b.one(tt.records), tt.code)
		b.advance(1)
		if b.Lane.WantsSize() != tt.learnt {
			t.Errorf("%d records refused as %v: the topic's size is asked for %v, want %v", tt.records, tt.code, b.Lane.WantsSize(), tt.learnt)
		}
	}
}

func TestADeadLetterSaysWhatTheBrokerSaid(t *testing.T) {
	b := newBench(t).known()
	s := b.one(1)
	b.Answered(&b.e, s, NoAnswer("cut"))
	b.advance(1)
	b.ParkFor(&b.e, spool.ParkUnexpectedState, "")
	s.message = ""
	b.e.Write = spool.Write{}
	b.Resolve(&b.e, ResolveDeadLetter)
	if d := b.e.Write.DeadLetters; len(d) != 1 || d[0].Message != "resolved by the operator: "+spool.ParkUnexpectedState {
		t.Errorf("dead letters %+v", d)
	}
}

// While the fate of batches is found out, nothing is taken into memory for their partition.
func TestAPartitionIsBlockedWhileItsBatchesAreInDoubt(t *testing.T) {
	b := newBench(t)
	if b.advance(1); b.Phase() != Resolving || b.Queue.Blocked() {
		t.Errorf("phase %v, blocked %v, with nothing in doubt", b.Phase(), b.Queue.Blocked())
	}
	b.Block(&b.e, true)
	b.advance(1)
	b.Described(&b.e, recovery.Named{}, false, 0)
	b.advance(1)
	if b.Queue.Blocked() {
		t.Error("blocked with all of it known")
	}
	s := b.one(1)
	b.Answered(&b.e, s, NoAnswer("cut"))
	b.Block(&b.e, false)
	if b.advance(1); !b.Queue.Blocked() {
		t.Error("not blocked when the resolving begins")
	}
	b.Block(&b.e, false)
	if b.advance(1); !b.Queue.Blocked() {
		t.Error("not blocked while it lasts")
	}
}

func TestBytesAreReadBackWhenThePauseIsOver(t *testing.T) {
	b := newBench(t).known()
	s := b.one(1)
	b.fail(s, protocol.NotEnoughReplicas)
	b.advance(1)
	b.e.recycle(s)
	b.e.Now.Age = b.retryAt - 1
	if w := b.Advance(&b.e, b.way); w.Do != Nothing {
		t.Errorf("1 ms early it wants %+v", w)
	}
	b.e.Now.Age = b.retryAt
	if w := b.Advance(&b.e, b.way); w.Do != ReadBack || w.Batch != s {
		t.Errorf("wants %+v, want the bytes back", w)
	}
}

func TestALeaderThatRemembersUsIsKnownToWhenItIsAsked(t *testing.T) {
	b := newBench(t).known()
	b.seq.Known, b.Detail, b.attempts = false, "why", 3
	b.way++
	b.advance(1)
	b.retryAt = b.e.Now.Age + 100
	if w := b.advance(99); w.Do != Nothing {
		t.Errorf("1 ms before the pause is over it wants %+v", w)
	}
	if w := b.advance(1); w.Do != Ask {
		t.Fatalf("wants %+v, want to ask", w)
	}
	b.Described(&b.e, recovery.Named{Present: true, LastSequence: 0}, false, 1)
	if b.advance(1); !b.seq.Known || b.Detail != "" || b.attempts != 0 {
		t.Errorf("known %v, detail %q after %d attempts", b.seq.Known, b.Detail, b.attempts)
	}
	b.seq.Settled = protocol.NoSequence
	b.way++
	b.advance(1)
	b.Described(&b.e, recovery.Named{}, false, 1)
	if b.advance(1); b.seq.Known {
		t.Error("known, and nothing was acked")
	}
}

// What the tail shows without a place was acked at one.
func TestAnAckKeepsItsPlaceWhereTheTailHasNone(t *testing.T) {
	b := newBench(t).known()
	s := b.one(1)
	s.acked, s.offset = true, 6
	b.e.Deliver = nil
	b.stepSettle(&b.e, &recovery.Step{Count: 1, Offsets: []protocol.Offset{protocol.NoOffset}, How: "answer"})
	if d := b.e.Deliver; len(d) != 1 || d[0].Offset != 6 {
		t.Errorf("delivered %+v, want offset 6", d)
	}
	s = b.one(1)
	b.e.Deliver = nil
	b.stepSettle(&b.e, &recovery.Step{Count: 1, Offsets: []protocol.Offset{protocol.NoOffset}, How: "named"})
	if d := b.e.Deliver; len(d) != 1 || d[0].Offset != protocol.NoOffset || s.acked {
		t.Errorf("delivered %+v, want no offset", d)
	}
}

// An hour behind this host's clock, a refusal for the timestamp is for good.
func TestWhichTimestampsTimeHeals(t *testing.T) {
	for _, tt := range []struct {
		behind int64 // ms behind this host's clock
		code   protocol.ErrorCode
		bytes  bool
		want   bool
	}{
		{staleMs, protocol.InvalidTimestamp, true, false}, {staleMs - 1, protocol.InvalidTimestamp, true, true}, {-5000, protocol.InvalidTimestamp, true, true},
		{0, protocol.InvalidRecord, true, false}, {0, protocol.InvalidTimestamp, false, false},
	} {
		b := newBench(t).known()
		s := b.one(2)
		stamp, err := s.Batch.Timestamp(0)
		if err != nil {
			t.Fatal(err)
		}
		b.e.Now.Wall, s.code = stamp+tt.behind, tt.code
		if !tt.bytes {
			s.Batch = nil
		}
		_, whole := b.healsWhole(&b.e, s)
		if one := b.heals(&b.e, s, 0); one != tt.want || whole != tt.want {
			t.Errorf("%v, %d ms behind, its bytes in memory %v: heals %v, the whole batch %v, want %v", tt.code, tt.behind, tt.bytes, one, whole, tt.want)
		}
	}
}

func TestARecordThatWaitsForTimeIsPutAsideAlsoIfNobodyNamedIt(t *testing.T) {
	b := newBench(t).known()
	b.fail(b.one(1), protocol.InvalidTimestamp)
	b.advance(1)
	b.e.Write = spool.Write{}
	if n := b.SetAside(&b.e, ResolveDeadLetter); n != 1 || len(b.e.Write.DeadLetters) != 1 {
		t.Errorf("%d put aside, %d dead letters, want 1", n, len(b.e.Write.DeadLetters))
	}
}
