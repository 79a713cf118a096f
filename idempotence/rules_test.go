package idempotence

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// small gives the machine records of which several fit into a batch.
func (b *bench) small(n int) {
	b.t.Helper()
	var entries []byte
	first := b.next
	for range n {
		value := make([]byte, 10)
		entries = spool.AppendEntry(entries, b.e.Now.Wall, 0, nil, value, nil, spool.BodySize(nil, value, nil))
		b.next++
	}
	sec := spool.Section{Spans: []spool.Span{{First: first, End: b.next}}, Bytes: entries}
	b.Lane.End = b.next
	if all, err := b.Lane.Feed(b.e.Accumulator, b.e.Now.Age, []spool.Section{sec}); err != nil || !all {
		b.t.Fatalf("feed: %v, %v", all, err)
	}
}

// one has a batch of n records on the wire.
func (b *bench) one(n int) *Sealed {
	b.t.Helper()
	b.small(n)
	b.advance(1)
	b.commit()
	sent := b.send()
	if len(sent) != 1 || sent[0].Seal.Count != int32(n) {
		b.t.Fatalf("%d batches are sent, want one of %d records", len(sent), n)
	}
	return sent[0]
}

// seen is the last event of a kind, and whether there is one.
func seen[T any](b *bench) (last T, ok bool) {
	for _, v := range b.e.Events {
		if x, is := v.(T); is {
			last, ok = x, true
		}
	}
	return last, ok
}

func TestACopyIsARetryOnlyAfterAnother(t *testing.T) {
	b := newBench(t).known()
	s := b.one(1)
	if _, ok := seen[BatchRetried](b); ok || b.e.Retries != 0 {
		t.Errorf("the first copy is a retry: %d", b.e.Retries)
	}
	b.fail(s, protocol.NotEnoughReplicas)
	b.advance(1)
	b.advance(1000)
	b.send()
	if v, ok := seen[BatchRetried](b); !ok || b.e.Retries != 1 || v.Code != protocol.NotEnoughReplicas {
		t.Errorf("%d retries, %+v, want one after NOT_ENOUGH_REPLICAS", b.e.Retries, v)
	}
	found := newBench(t)
	found.Sent(&found.e, &Sealed{found: true})
	if found.e.Retries != 1 {
		t.Error("a copy of what a start found is no retry")
	}
}

func TestAnAckSaysHowManyBytesItWas(t *testing.T) {
	b := newBench(t).known()
	b.e.Events = nil
	s := b.one(3)
	n := len(s.Batch.Buf)
	b.Answered(&b.e, s, Answer{Offset: 1, Stamp: 77})
	if v, _ := seen[BatchAcked](b); v.Records != 3 || v.Bytes != n || v.Offset != 1 || v.Recovered || v.How != "answer" {
		t.Errorf("%+v, want 3 records of %d bytes at offset 1", v, n)
	}
	if d := b.e.Deliver[len(b.e.Deliver)-1]; d.Offset != 1 || d.Timestamp != 77 {
		t.Errorf("delivered as %+v, want offset 1, timestamp 77", d)
	}
}

func TestADuplicateHasNoPlace(t *testing.T) {
	b := newBench(t).known()
	b.Answered(&b.e, b.one(1), Answer{Code: protocol.DuplicateSequenceNumber, Offset: 0, Stamp: -1})
	if d := b.e.Deliver[len(b.e.Deliver)-1]; b.Phase() != Ready || b.Waiting() || d.Offset != protocol.NoOffset {
		t.Errorf("phase %v, delivered as %+v, want it acked with no offset", b.Phase(), d)
	}
}

func TestWhatAnAnswerSaysOfCopiesAndOfTheLeader(t *testing.T) {
	for _, tt := range []struct {
		name             string
		a                Answer
		copies           int
		maybe, unknownID int
		refresh          bool
	}{
		{"lost", NoAnswer("cut"), 1, 1, 0, true},
		{"never written", Answer{Lost: true, NeverWritten: true, Offset: protocol.NoOffset}, 0, 0, 0, true},
		{"not appended", Answer{Code: protocol.NotEnoughReplicas}, 1, 0, 0, false},
		{"another leader", Answer{Code: protocol.NotLeaderOrFollower}, 1, 1, 0, true},
		{"another leader, which is named", Answer{Code: protocol.NotLeaderOrFollower, Led: true}, 1, 1, 0, false},
		{"the topic's id is unknown", Answer{Code: protocol.UnknownTopicID}, 1, 1, 1, true},
		{"a time-out", Answer{Code: protocol.RequestTimedOut}, 1, 1, 0, false},
	} {
		b := newBench(t).known()
		s := b.one(1)
		refresh := b.Answered(&b.e, s, tt.a)
		if s.copies != tt.copies || s.maybe != tt.maybe || s.unknownID != tt.unknownID || refresh != tt.refresh || b.OnWire() != 0 {
			t.Errorf("%s: %d copies, %d perhaps appended, %d of an unknown id, newer metadata %v; want %+v", tt.name, s.copies, s.maybe, s.unknownID, refresh, tt)
		}
	}
}

func TestALeaderThatIsNamedIsAskedWithoutAPause(t *testing.T) {
	for _, led := range []bool{false, true} {
		b := newBench(t).known()
		s := b.one(1)
		b.Answered(&b.e, s, Answer{Code: protocol.NotLeaderOrFollower, Led: led, Offset: protocol.NoOffset, Stamp: -1})
		w := b.advance(0)
		if got := w.Do == Ask; got != led {
			t.Errorf("another leader is named: %v, asked at once: %v", led, got)
		}
	}
}

func TestWhatOnlyAnOperatorCanHelpIsReportedAndTriedSlowly(t *testing.T) {
	for code, slow := range map[protocol.ErrorCode]bool{protocol.TopicAuthorizationFailed: true, protocol.NotEnoughReplicas: false} {
		b := newBench(t).known()
		b.fail(b.one(1), code)
		b.advance(1)
		v, ok := seen[TopicTrouble](b)
		if ok != slow || slow && (v.Code != code || !strings.HasPrefix(v.Message, code.String())) {
			t.Errorf("%v: reported %v, %+v", code, ok, v)
		}
		if got := b.retryAt >= b.e.Now.Age+slowMs; got != slow || b.RefusedForNow() != slow {
			t.Errorf("%v: tried again after %d ms, refused for now %v", code, b.retryAt-b.e.Now.Age, b.RefusedForNow())
		}
	}
}

func TestABatchOfManyIsCutWhereTheBrokerDoesNotSayWhichItRefuses(t *testing.T) {
	b := newBench(t).known()
	b.e.Write = spool.Write{}
	s := b.one(4)
	ordinal := b.e.Ordinal
	b.fail(s, protocol.InvalidRecord)
	b.advance(1)
	if len(b.window) != 4 || b.e.Splits != 1 || b.e.Ordinal != ordinal+4 {
		t.Fatalf("%d pieces, %d splits, ordinal %d after %d", len(b.window), b.e.Splits, b.e.Ordinal, ordinal)
	}
	for k, p := range b.window {
		if p.Seal.Base != protocol.Sequence(1+k) || p.Seal.Count != 1 || p.Seal.Spans[0].First != spool.Index(1+k) ||
			p.Seal.Ordinal != ordinal+uint64(k)+1 || p.maybe != 0 || p.stamp != -1 || p.offset != protocol.NoOffset {
			t.Errorf("piece %d is %+v", k, p)
		}
	}
	if n := len(b.e.Write.Audit); n != 1 || !strings.Contains(b.e.Write.Audit[0].What, "batch of 4 records at sequence 1 was refused") {
		t.Errorf("audit %+v", b.e.Write.Audit)
	}
}

func TestOnlyTheRecordThatIsNamedIsPutAside(t *testing.T) {
	b := newBench(t).known()
	b.e.Write, b.e.Deliver = spool.Write{}, nil
	b.Answered(&b.e, b.one(3), Answer{Code: protocol.InvalidRecord, Offset: protocol.NoOffset, Stamp: -1, Message: "batch", Bad: []BadRecord{{Place: 1, Message: "no key"}}})
	b.advance(1)
	dead := b.e.Write.DeadLetters
	if len(dead) != 1 || dead[0].Index != 2 || dead[0].Attempts != 1 || dead[0].InDoubt || !strings.Contains(dead[0].Message, "no key") {
		t.Fatalf("dead letters %+v, want entry 2 alone", dead)
	}
	if d := b.e.Deliver; len(d) != 1 || d[0].Timestamp != -1 || d[0].Offset != protocol.NoOffset || d[0].Err == nil {
		t.Errorf("delivered %+v", d)
	}
	if s := b.window; len(s) != 1 || s[0].Seal.Count != 2 || s[0].Seal.Base != 0 || s[0].stamp != -1 {
		t.Errorf("the others are sealed as %+v", s)
	}
}

// With no room for dead letters the record is sent now and then, and reported once.
func TestARefusedRecordWaitsForRoom(t *testing.T) {
	b := newBench(t).known()
	b.e.DeadFull, b.e.Write, b.e.Events = true, spool.Write{}, nil
	for range 2 {
		b.spool(0)
		if b.InFlight() == 0 {
			b.small(1)
		}
		b.advance(slowMs)
		b.commit()
		for _, s := range b.send() {
			b.fail(s, protocol.InvalidRecord)
		}
		b.advance(0)
	}
	trouble := 0
	for _, v := range b.e.Events {
		if _, ok := v.(TopicTrouble); ok {
			trouble++
		}
	}
	if trouble != 1 || len(b.e.Write.DeadLetters) != 0 || !b.WaitsForDeadRoom() || !strings.Contains(b.Detail, "INVALID_RECORD: refused for good") {
		t.Errorf("reported %d times, %d dead letters, waits for room %v, %q", trouble, len(b.e.Write.DeadLetters), b.WaitsForDeadRoom(), b.Detail)
	}
}

func TestWhatIsParkedGoesTheWayThatTheOperatorChooses(t *testing.T) {
	for _, tt := range []struct {
		choice          Choice
		acked, dead     int
		queued, unseals int
	}{
		{ResolveResend, 0, 0, 2, 1}, {ResolveDelivered, 1, 0, 0, 1}, {ResolveDeadLetter, 0, 2, 0, 1}, {ResolveDeadLetterWaiting, 0, 2, 0, 1},
	} {
		b := newBench(t).known()
		b.Answered(&b.e, b.one(2), NoAnswer("cut"))
		b.advance(1)
		b.ParkFor(&b.e, spool.ParkUnexpectedState, "detail")
		if v, _ := seen[PartitionParked](b); v.InDoubt != 2 || v.Park.Reason != spool.ParkUnexpectedState || v.Park.At != b.e.Now.Wall {
			t.Errorf("parked as %+v", v)
		}
		b.e.Write, b.e.Deliver = spool.Write{}, nil
		b.Resolve(&b.e, tt.choice)
		w := &b.e.Write
		acked := 0
		for _, s := range w.Settle {
			if s.Outcome == spool.OutcomeAcked {
				acked++
			}
		}
		if acked != tt.acked || len(w.DeadLetters) != tt.dead || len(w.Unseal) != tt.unseals || len(w.Audit) != 1 || b.Waiting() {
			t.Errorf("%s: %d acked, %d dead letters, %d unsealed, audit %v", tt.choice, acked, len(w.DeadLetters), len(w.Unseal), w.Audit)
		}
		if tt.acked > 0 && (b.e.Deliver[0].Timestamp != -1 || b.e.Deliver[0].Offset != protocol.NoOffset) {
			t.Errorf("%s: delivered %+v", tt.choice, b.e.Deliver)
		}
		for _, d := range w.DeadLetters {
			if !d.InDoubt || d.Message != "cut" {
				t.Errorf("%s: dead letter %+v", tt.choice, d)
			}
		}
		if v, _ := seen[PartitionUnparked](b); v.Choice != tt.choice || v.Records != 2 {
			t.Errorf("%s: %+v", tt.choice, v)
		}
		if id := b.Sequences(); id.Identity.Epoch != 1 || id.LastOffset != 0 && tt.choice != "" {
			t.Errorf("%s: goes on as %+v", tt.choice, id)
		}
	}
}

// After a log that went back, or another topic, offsets of before say nothing.
func TestAnotherLogIsForgottenWhenItIsResolved(t *testing.T) {
	for reason, forgotten := range map[string]bool{spool.ParkLogWentBack: true, spool.ParkTopicRecreated: true, spool.ParkUnexpectedState: false} {
		b := newBench(t).known()
		b.ParkFor(&b.e, reason, "")
		b.Resolve(&b.e, ResolveResend)
		if got := b.Sequences().LastOffset == protocol.NoOffset; got != forgotten {
			t.Errorf("%s: the last offset is forgotten: %v, want %v", reason, got, forgotten)
		}
	}
}

func TestARecordAheadOfTheBrokersClockWaitsUnderItsSequence(t *testing.T) {
	b := newBench(t).known()
	b.e.Events = nil
	s := b.one(3)
	b.Answered(&b.e, s, Answer{Code: protocol.InvalidTimestamp, Offset: protocol.NoOffset, Stamp: -1, Bad: []BadRecord{{Place: 1}}})
	b.advance(1)
	if len(b.window) != 2 || b.window[0].Seal.Count != 1 || b.window[1].Seal.Count != 2 || b.window[1].notUntil != b.e.Now.Age+healFirstMs {
		t.Fatalf("the window is %+v, want one record, and two that wait for 5 s", b.window)
	}
	if v, ok := seen[TopicTrouble](b); !ok || v.Code != protocol.InvalidTimestamp || !b.WaitsForTime() {
		t.Errorf("reported %v, %+v", ok, v)
	}
	b.commit()
	front := b.send()
	if len(front) != 1 || front[0] != b.window[0] {
		t.Fatalf("%d batches are sent, want what stands before it", len(front))
	}
	b.ack(front[0], 1)
	if b.advance(healFirstMs - 2); len(b.send()) != 0 {
		t.Error("sent early")
	}
	b.advance(2)
	again := b.send()
	if len(again) != 1 || again[0].Seal.Base != 2 {
		t.Fatalf("%d batches are sent after 5 s, want that of sequence 2", len(again))
	}
	b.Answered(&b.e, again[0], Answer{Code: protocol.InvalidTimestamp, Offset: protocol.NoOffset, Stamp: -1, Bad: []BadRecord{{Place: 0}}})
	if b.advance(1); len(b.send()) != 0 || !b.RefusedForNow() {
		t.Error("it does not wait for the second time")
	}
	b.e.Write = spool.Write{}
	if n := b.SetAside(&b.e, ResolveDeadLetter); n != 1 || len(b.e.Write.DeadLetters) != 1 || b.e.Write.DeadLetters[0].Index != 2 || b.WaitsForTime() {
		t.Errorf("%d records put aside, %+v", n, b.e.Write.DeadLetters)
	}
}

func TestPausesForTimeGrowUpToFiveMinutes(t *testing.T) {
	p := pace{}
	for n, want := range map[int]int64{0: 5_000, 1: 10_000, 5: 160_000, 6: 300_000, 20: 300_000} {
		if p.healing = n; p.healPause() != want {
			t.Errorf("after %d tries: %d ms, want %d", n, p.healPause(), want)
		}
	}
}
