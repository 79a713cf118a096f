package idempotence

import (
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

func TestWhatTheClusterDoesNotTakeIsPutAsideWhole(t *testing.T) {
	b := newBench(t).known()
	first := b.one(2)
	second := b.one(1)
	b.fail(first, protocol.TopicAuthorizationFailed)
	b.Answered(&b.e, second, Answer{Code: protocol.OutOfOrderSequenceNumber, Offset: protocol.NoOffset, Stamp: -1})
	b.advance(1)
	second.code = protocol.None
	b.e.Write = spool.Write{}
	if n := b.SetAside(&b.e, ResolveDeadLetter); n != 3 {
		t.Errorf("%d records put aside, want 3", n)
	}
	for _, d := range b.e.Write.DeadLetters {
		if d.Code != protocol.TopicAuthorizationFailed {
			t.Errorf("dead letter %+v, want the code of the first batch", d)
		}
	}
	if len(b.e.Write.DeadLetters) != 3 || b.Waiting() || b.retryAt != 0 {
		t.Errorf("%d dead letters, waiting %v", len(b.e.Write.DeadLetters), b.Waiting())
	}
}

func TestATopicThatWasCreatedAnewBeginsAtTheNextEpoch(t *testing.T) {
	b := newBench(t).known()
	if b.MayBeInFormer() {
		t.Error("nothing is sealed, and may be in the former topic")
	}
	b.spool(1)
	b.advance(1)
	b.e.Write = spool.Write{}
	b.BeginAnew(&b.e)
	if b.Phase() != Unknown || b.Sequences().Identity.Epoch != 1 || len(b.e.Write.Unseal) != 1 || b.Waiting() {
		t.Errorf("phase %v, identity %v, %d unsealed", b.Phase(), b.Sequences().Identity, len(b.e.Write.Unseal))
	}
	if b.Rebind(&b.e); b.Sequences().LastOffset != protocol.NoOffset {
		t.Error("the former log's offset counts")
	}
	if w := b.advance(1); w.Do != Ask {
		t.Errorf("wants %+v, want to ask", w)
	}
}

func TestOnlyWhatNeverWentOutIsUnsealed(t *testing.T) {
	for name, change := range map[string]func(b *bench){
		"":            func(*bench) {},
		"found":       func(b *bench) { b.window[0].found = true },
		"on the wire": func(b *bench) { b.commit(); b.send() },
		"beyond":      func(b *bench) { b.window[0].Seal.Spans[0].End = 3 },
		"muted":       func(b *bench) { b.phase = Muted },
		"refused":     func(b *bench) { b.refusedMaybe = []*Sealed{{}} },
		"nothing":     func(b *bench) { b.window = nil },
	} {
		b := newBench(t).known()
		b.spool(1)
		b.advance(1)
		change(b)
		if got, want := Unsealable(b.Machine, 2), name == ""; got != want {
			t.Errorf("%q: may be unsealed %v, want %v", name, got, want)
		}
	}
	b := newBench(t).known()
	b.spool(1)
	b.advance(1)
	b.e.Write = spool.Write{}
	if UnsealAll(b.Machine, &b.e, "why"); b.Waiting() || len(b.e.Write.Unseal) != 1 || b.Queue.Empty() {
		t.Errorf("waiting %v, %d unsealed", b.Waiting(), len(b.e.Write.Unseal))
	}
}

// A partition that cannot be reached for long keeps its seals, and gives their bytes up.
func TestBytesAreGivenBackAfterHalfTheLongestBackOff(t *testing.T) {
	b := newBench(t).known()
	s := b.one(2)
	if b.GiveBack(&b.e) {
		t.Fatal("bytes of a copy on the wire are given back")
	}
	b.Answered(&b.e, s, Answer{Code: protocol.NotEnoughReplicas, Offset: protocol.NoOffset, Stamp: -1})
	b.e.WakeAt = 0
	b.e.Now.Age += 499
	if b.GiveBack(&b.e) || b.e.WakeAt != b.e.Now.Age+1 {
		t.Errorf("given back 1 ms early, or woken at %d, now %d", b.e.WakeAt, b.e.Now.Age)
	}
	b.e.Now.Age++
	if !b.GiveBack(&b.e) || s.Batch != nil || len(b.window) != 1 {
		t.Error("not given back after its time")
	}
	b.advance(1)
	w := b.advance(2000)
	if w.Do != ReadBack || w.Batch != s || w.Index != 1 {
		t.Fatalf("wants %+v, want entry 1 back", w)
	}
	b.e.Closing = true
	if w := b.advance(1); w.Do != Nothing {
		t.Errorf("while closing it wants %+v", w)
	}
}

// twoEntries are those that bench.one(2) spools, as they are read back.
func twoEntries() []spool.Section {
	var bytes []byte
	for range 2 {
		value := make([]byte, 10)
		bytes = spool.AppendEntry(bytes, 1000*hourMs, 0, nil, value, nil, spool.BodySize(nil, value, nil))
	}
	return []spool.Section{{Spans: []spool.Span{{First: 1, End: 3}}, Bytes: bytes}}
}

// readingBack is a batch of two records whose answer was lost and whose bytes were given up, when it is to be sent again.
func (b *bench) readingBack() *Sealed {
	b.t.Helper()
	s := b.one(2)
	b.Answered(&b.e, s, NoAnswer("cut"))
	b.e.recycle(s)
	b.advance(1)
	b.advance(2000)
	b.Described(&b.e, recovery.Named{Present: true, LastSequence: 0}, false, 1)
	if w := b.advance(1); w.Do != ReadBack || w.Index != 1 {
		b.t.Fatalf("wants %+v, want entry 1 back", w)
	}
	return s
}

// What is read back for a batch that has left the window meanwhile takes no memory: nobody would give it back.
func TestBytesOfABatchThatHasLeftAreNotTaken(t *testing.T) {
	for how, leaves := range map[string]func(b *bench){
		"sealed again": func(b *bench) { b.reseal(&b.e, b.window, "a test") },
		"settled":      func(b *bench) { b.settle(&b.e, 5, "tail") },
	} {
		b := newBench(t).known()
		s := b.readingBack()
		leaves(b)
		b.TakeEntries(&b.e, twoEntries(), 3)
		if n := b.e.Accumulator.Used(); n != 0 || s.Batch != nil || b.e.Damage != nil {
			t.Errorf("%s: %d bytes are taken, batch %v, damage %v", how, n, s.Batch, b.e.Damage)
		}
	}
}

func TestABatchIsReadBackAndSentAgainAfterAStart(t *testing.T) {
	b := newBench(t).known()
	s := b.readingBack()
	b.TakeEntries(&b.e, twoEntries(), 3)
	if b.e.Damage != nil || s.Batch == nil || b.readAt != b.e.Now.Age {
		t.Fatalf("damage %v, batch %v", b.e.Damage, s.Batch)
	}
	if b.advance(1); len(b.send()) != 1 {
		t.Error("not sent again")
	}
	b.TakeEntries(&b.e, twoEntries(), 3) // nothing was asked for
	if b.OnWire() != 1 {
		t.Error("entries that nobody asked for change something")
	}
}

func TestWithoutTheRightToAskOneBatchIsOut(t *testing.T) {
	b := newBench(t).known()
	if !b.MayAsk() || b.SetMayAsk(true) || !b.SetMayAsk(false) || b.MayAsk() {
		t.Error("the right to ask is not what was said last")
	}
	b.TryAsking()
	if w := b.advance(1); w.Do != Ask {
		t.Errorf("wants %+v, want to ask whether the right was given", w)
	}
}
