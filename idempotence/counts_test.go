package idempotence

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

func TestTheEarliestWakeUpCounts(t *testing.T) {
	for _, tt := range []struct {
		wake []int64
		want int64
	}{{nil, 0}, {[]int64{20}, 20}, {[]int64{20, 30}, 20}, {[]int64{20, 15}, 15}, {[]int64{11}, 11}, {[]int64{10}, 11}, {[]int64{3}, 11}} {
		e := &Env{Now: spool.Time{Age: 10}}
		for _, at := range tt.wake {
			e.Wake(at)
		}
		if e.WakeAt != tt.want {
			t.Errorf("wake-ups %v at 10: %d, want %d", tt.wake, e.WakeAt, tt.want)
		}
	}
}

func TestWhatIsSealedIsCounted(t *testing.T) {
	refused := spool.Seal{SealKey: spool.SealKey{Base: 1}, Count: 2, Refused: protocol.InvalidRecord, Spans: []spool.Span{{First: 1, End: 3}}}
	open := spool.Seal{SealKey: spool.SealKey{Base: 3}, Count: 3, Spans: []spool.Span{{First: 3, End: 6}}}
	for _, tt := range []struct {
		seals                           []*spool.Seal
		waiting                         bool
		all, inFlight, inDoubt, refused int
	}{
		{nil, false, 0, 0, 0, 0},
		{[]*spool.Seal{&open}, true, 1, 1, 3, 0},
		{[]*spool.Seal{&refused}, true, 1, 0, 2, 2},
		{[]*spool.Seal{&refused, &open}, true, 2, 1, 5, 2},
	} {
		var bs batches
		for _, s := range tt.seals {
			bs.RestoreSeal(s)
		}
		if bs.Waiting() != tt.waiting || bs.Seals() != tt.all || bs.InFlight() != tt.inFlight || bs.InDoubt() != tt.inDoubt || bs.RefusedMaybe() != tt.refused {
			t.Errorf("%d seals: waiting %v, %d sealed, %d in flight, %d records in doubt, %d refused; want %+v",
				len(tt.seals), bs.Waiting(), bs.Seals(), bs.InFlight(), bs.InDoubt(), bs.RefusedMaybe(), tt)
		}
		if spans := bs.SealedSpans(); len(spans) != tt.all {
			t.Errorf("spans %v of %d seals", spans, tt.all)
		}
		for _, b := range slices.Concat(bs.window, bs.refusedMaybe) {
			if b.stamp != -1 || b.offset != protocol.NoOffset || !b.durable || !b.found || b.code != b.Seal.Refused {
				t.Errorf("a start finds it as %+v", b)
			}
		}
	}
	b := &Sealed{}
	bs := batches{window: []*Sealed{b}}
	bs.sent(b)
	bs.sent(b)
	if b.copies != 2 || bs.OnWire() != 2 || bs.waitsForTime() {
		t.Errorf("%d copies, %d on the wire, waits for time %v; want 2, 2, false", b.copies, bs.OnWire(), bs.waitsForTime())
	}
	if b.notUntil = 1; !bs.waitsForTime() {
		t.Error("it does not wait for time")
	}
}

func TestAStartKnowsWhereTheLogReaches(t *testing.T) {
	for _, tt := range []struct {
		last, logEnd, lowest, settled protocol.Offset
	}{{protocol.NoOffset, 0, 0, 0}, {protocol.NoOffset, 7, 7, 0}, {4, 0, 5, 5}, {4, 9, 9, 5}} {
		id := identity{seq: protocol.NewSequences()}
		id.restore(&spool.PartitionState{Identity: protocol.NoIdentity, Settled: protocol.NoSequence, LastOffset: tt.last})
		if want := tt.last + 1; tt.last != protocol.NoOffset && id.tailBase != want || tt.last == protocol.NoOffset && id.tailBase != 0 {
			t.Errorf("last offset %d: the tail begins at %d", tt.last, id.tailBase)
		}
		id.tailBase = max(id.tailBase, tt.logEnd)
		if id.lowest() != tt.lowest || id.lowestSettled() != tt.settled {
			t.Errorf("last offset %d, log end %d: lowest %d, settled below %d; want %d, %d", tt.last, tt.logEnd, id.lowest(), id.lowestSettled(), tt.lowest, tt.settled)
		}
	}
}

func TestAStartSeesWhichRecordsAreLostAndWhereRefusedOnesCanBe(t *testing.T) {
	us := protocol.ProducerIdentity{ID: 3}
	for _, tt := range []struct {
		settled protocol.Sequence
		last    protocol.Offset
		bound   bool
	}{{protocol.NoSequence, protocol.NoOffset, false}, {5, protocol.NoOffset, false}, {protocol.NoSequence, 9, false}, {5, 9, true}} {
		b := newBench(t)
		b.Restore(&spool.PartitionState{Identity: us, Next: 20, Settled: tt.settled, LastOffset: tt.last})
		b.RestoreSeal(&spool.Seal{SealKey: spool.SealKey{Identity: us, Base: 2}, Count: 1, Refused: protocol.InvalidRecord})
		b.RestoreSeal(&spool.Seal{SealKey: spool.SealKey{Identity: us, Base: 8}, Count: 1, Spans: []spool.Span{{First: 8, End: 9}}})
		b.RestoreSeal(&spool.Seal{SealKey: spool.SealKey{Identity: us, Base: 6}, Count: 1, Spans: []spool.Span{{First: 6, End: 7}}})
		b.Restored()
		if b.boundKnown != tt.bound || tt.bound && b.bound != tt.last {
			t.Errorf("settled %d, last offset %d: bound %d, known %v, want %v", tt.settled, tt.last, b.bound, b.boundKnown, tt.bound)
		}
		if b.window[0].Seal.Base != 6 || b.window[0].lost || b.window[1].lost {
			t.Errorf("the window is %+v", b.window)
		}
	}
}

func TestAPartitionIsIdleWithNothingToDo(t *testing.T) {
	for name, change := range map[string]func(b *bench){
		"":               func(*bench) {},
		"parked":         func(b *bench) { b.spool(1); b.phase = Parked },
		"a seal":         func(b *bench) { b.window = []*Sealed{{}} },
		"a refused one":  func(b *bench) { b.refusedMaybe = []*Sealed{{}} },
		"a record":       func(b *bench) { b.Block(&b.e, false); b.spool(1) },
		"it asks":        func(b *bench) { b.phase = Resolving },
		"it reads a log": func(b *bench) { b.phase = ReadingTail },
	} {
		b := newBench(t).ready()
		change(b)
		if got, want := b.Idle(), name == "" || name == "parked"; got != want {
			t.Errorf("%q: idle %v, want %v", name, got, want)
		}
	}
}

func TestAStateIsWrittenOnceACommit(t *testing.T) {
	b := newBench(t)
	b.Mark(&b.e)
	b.Mark(&b.e)
	if len(b.e.Changed) != 1 {
		t.Errorf("%d states to write, want 1", len(b.e.Changed))
	}
	b.State()
	b.Mark(&b.e)
	if len(b.e.Changed) != 2 {
		t.Error("a change after that is not written")
	}
	b.e.Changed = nil
	b.State()
	if b.LeaderChanged(&b.e, false, true); len(b.e.Changed) != 0 {
		t.Error("a leader epoch is written with no identity to guard")
	}
	b.seq.Identity = protocol.ProducerIdentity{ID: 7}
	if b.LeaderChanged(&b.e, false, false); len(b.e.Changed) != 0 {
		t.Error("the same leader epoch is written")
	}
	if b.LeaderChanged(&b.e, false, true); len(b.e.Changed) != 1 {
		t.Error("a new leader epoch is not written")
	}
}

func TestAnotherLeaderEndsTheBackOff(t *testing.T) {
	b := newBench(t)
	b.Wait(&b.e, "why")
	at := b.retryAt
	if b.LeaderChanged(&b.e, false, false); b.retryAt != at {
		t.Error("the loss of a leader ends the pause")
	}
	if b.LeaderChanged(&b.e, true, false); b.retryAt != b.e.Now.Age {
		t.Errorf("tried again at %d, want now, %d", b.retryAt, b.e.Now.Age)
	}
}

func TestTheReasonForAPauseNamesTheRightThatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		b    Sealed
		want string
	}{
		{Sealed{}, "before"},
		{Sealed{message: "cut"}, "cut"},
		{Sealed{code: protocol.NotEnoughReplicas}, "NOT_ENOUGH_REPLICAS"},
		{Sealed{code: protocol.InvalidRecord, message: "no key"}, "INVALID_RECORD: no key"},
		{Sealed{code: protocol.InvalidRecord, bad: []BadRecord{{Message: "this one"}}}, "INVALID_RECORD: this one"},
		{Sealed{code: protocol.TopicAuthorizationFailed}, "TOPIC_AUTHORIZATION_FAILED: grant WRITE on the topic"},
	} {
		p := pace{Detail: "before"}
		if p.note(&tt.b); p.Detail != tt.want {
			t.Errorf("got %q, want %q", p.Detail, tt.want)
		}
	}
}

func TestABatchWaitsUntilItsTime(t *testing.T) {
	e := &Env{Now: spool.Time{Age: 10}}
	p := pace{}
	if !p.waits(e, &Sealed{notUntil: 11, waitsFor: "time"}) || p.Detail != "time" || e.WakeAt != 11 {
		t.Errorf("1 ms early: detail %q, wake-up at %d", p.Detail, e.WakeAt)
	}
	if p.waits(e, &Sealed{notUntil: 10}) {
		t.Error("it waits at its time")
	}
}

func TestARefusedBatchIsCutIntoAtMostSixteen(t *testing.T) {
	for _, tt := range []struct {
		count int32
		want  []int32
	}{
		{1, nil}, {2, []int32{1}}, {3, []int32{1, 2}},
		{32, []int32{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}},
		{33, []int32{3, 6, 9, 12, 15, 18, 21, 24, 27, 30}},
	} {
		if got := piecePlaces(tt.count); !slices.Equal(got, tt.want) {
			t.Errorf("%d records: cut at %v, want %v", tt.count, got, tt.want)
		}
	}
}

func TestRecordsThatABrokerNamesAreTakenOnceAndInRange(t *testing.T) {
	b := &Sealed{Seal: spool.Seal{Count: 3}, message: "all", bad: []BadRecord{{Place: 2, Message: "two"}, {Place: 0}, {Place: 2}, {Place: 3}, {Place: -1}}}
	if got := b.badRecords(); !slices.Equal(got, []int32{0, 2}) {
		t.Errorf("got %v, want 0 and 2", got)
	}
	if got := b.allRecords(); !slices.Equal(got, []int32{0, 1, 2}) {
		t.Errorf("all are %v", got)
	}
	if b.why(2) != "two" || b.why(0) != "all" || b.why(1) != "all" {
		t.Errorf("reasons %q, %q, %q", b.why(0), b.why(1), b.why(2))
	}
}

func TestARefusalIsSaidInKafkasName(t *testing.T) {
	for want, err := range map[string]RefusedError{
		"an operator put the record aside: why":                          {Message: "why"},
		"the cluster refused the record for good: INVALID_RECORD":        {Code: "INVALID_RECORD"},
		"the cluster refused the record for good: INVALID_RECORD: a key": {Code: "INVALID_RECORD", Message: "a key"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if a := NoAnswer("cut"); a.Stamp != -1 || a.Offset != protocol.NoOffset || !a.Lost || a.Message != "cut" {
		t.Errorf("no answer is %+v", a)
	}
}
