package idempotence

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

const hourMs = 3600_000

// bench is one machine with a lane of one partition, driven by hand.
type bench struct {
	*Machine
	t    *testing.T
	e    Env
	next spool.Index
	way  uint64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	a := accumulator.New(accumulator.Config{BatchSize: 300, BufferMemory: 1 << 20})
	l := accumulator.NewLane(0, "t", 0, 0, spool.Facts{})
	l.SetPartitions(1)
	b := &bench{Machine: New(l, 0), t: t, way: 1}
	b.e = Env{
		Config: Config{MaxInFlight: MaxInFlight, MarginMs: 20 * hourMs, RetryBackoffMaxMs: 1000,
			Backoff: &protocol.Backoff{Ms: 100, MaxMs: 1000, Rand: rand.New(rand.NewPCG(1, 1))}},
		Accumulator: a, Now: spool.Time{Wall: 1000 * hourMs, Age: 1}, MaySeal: true,
		Identity: protocol.ProducerIdentity{ID: 7}, Former: protocol.NoIdentity, TopicID: protocol.TopicID{1},
	}
	b.Block(&b.e, false)
	return b
}

// spool gives the machine n records, each of which fills a batch.
func (b *bench) spool(n int) {
	b.t.Helper()
	for range n {
		value := make([]byte, 200)
		e := spool.AppendEntry(nil, b.e.Now.Wall, 0, nil, value, nil, spool.BodySize(nil, value, nil))
		sec := spool.Section{Spans: []spool.Span{{First: b.next, End: b.next + 1}}, Bytes: e}
		b.next++
		b.Lane.End = b.next
		if all, err := b.Lane.Feed(b.e.Accumulator, b.e.Now.Age, []spool.Section{sec}); err != nil || !all {
			b.t.Fatalf("feed: %v, %v", all, err)
		}
	}
}

// advance lets time pass and takes the machine as far as it goes.
func (b *bench) advance(ms int64) Want {
	b.e.Now.Age += ms
	b.e.Now.Wall += ms
	b.Review(&b.e)
	return b.Advance(&b.e, b.way)
}

// commit makes all seals durable.
func (b *bench) commit() {
	for _, s := range b.e.Sealed {
		s.Durable()
	}
	b.e.Sealed = nil
}

// sent spools n records and has the batches of them sealed, durable and on the wire, as far as they may be.
func (b *bench) sent(n int) []*Sealed {
	b.spool(n)
	b.advance(1)
	b.commit()
	return b.send()
}

// send puts all that may be sent on the wire.
func (b *bench) send() (sent []*Sealed) {
	for s := b.NextToSend(&b.e); s != nil; s = b.NextToSend(&b.e) {
		b.Sent(&b.e, s)
		sent = append(sent, s)
	}
	return sent
}

func (b *bench) ack(s *Sealed, offset protocol.Offset) {
	b.Answered(&b.e, s, Answer{Offset: offset, Stamp: -1})
}

func (b *bench) fail(s *Sealed, code protocol.ErrorCode) {
	b.Answered(&b.e, s, Answer{Code: code, Offset: protocol.NoOffset, Stamp: -1})
}

// ready has asked the leader, which knows nothing of the producer.
func (b *bench) ready() *bench {
	b.t.Helper()
	if w := b.advance(1); w.Do != Ask {
		b.t.Fatalf("wants %+v first, want to ask the leader", w)
	}
	b.Described(&b.e, recovery.Named{}, false, 0)
	if b.advance(1); b.Phase() != Ready {
		b.t.Fatalf("phase %v, want ready", b.Phase())
	}
	return b
}

// known has had one batch acked besides, at offset 0.
func (b *bench) known() *bench {
	b.t.Helper()
	b.ready().spool(1)
	b.advance(1)
	b.commit()
	b.ack(b.send()[0], 0)
	return b
}

// TestPhasesFollowTheTable enters every phase from every other one: what the table does not list is a panic.
func TestPhasesFollowTheTable(t *testing.T) {
	for from := range numPhases {
		for to := range numPhases {
			m := newBench(t).Machine
			m.phase = from
			panicked := func() (p bool) {
				defer func() { p = recover() != nil }()
				m.enter(to)
				return false
			}()
			if want := from != to && !legal[from][to]; panicked != want {
				t.Errorf("from %d to %d: panics %v, want %v", from, to, panicked, want)
			}
		}
		if from != Parked && !legal[from][Parked] {
			t.Errorf("a partition in phase %d cannot be parked", from)
		}
	}
}

func TestNothingIsSentBeforeItsSealIsDurable(t *testing.T) {
	b := newBench(t).ready()
	b.spool(1)
	b.advance(1)
	if len(b.e.Write.Seals) != 1 || !b.e.Urgent || len(b.e.Changed) != 1 {
		t.Fatalf("%d seals to write, urgent %v, %d states", len(b.e.Write.Seals), b.e.Urgent, len(b.e.Changed))
	}
	if sent := b.send(); len(sent) != 0 {
		t.Fatalf("%d batches are sent before the commit", len(sent))
	}
	b.commit()
	if sent := b.send(); len(sent) != 1 {
		t.Errorf("%d batches are sent after the commit, want 1", len(sent))
	}
}

func TestOneBatchIsOutUntilTheFirstAckThenFive(t *testing.T) {
	b := newBench(t).ready()
	sent := b.sent(8)
	if len(sent) != 1 {
		t.Fatalf("%d batches are out before the first ack, want 1", len(sent))
	}
	b.ack(sent[0], 0)
	b.advance(1)
	b.commit()
	if sent = b.send(); len(sent) != MaxInFlight {
		t.Errorf("%d batches are out after it, want %d", len(sent), MaxInFlight)
	}
}

func TestNothingNewIsSealedWhileTheCloneCheckRuns(t *testing.T) {
	b := newBench(t).ready()
	b.spool(1)
	b.e.MaySeal, b.e.WhyNot = false, "checking"
	if b.advance(1); b.Seals() != 0 || b.Detail != "checking" {
		t.Errorf("%d seals, detail %q", b.Seals(), b.Detail)
	}
}

func TestAFailedBatchMutesThePartitionUntilAllAreAnswered(t *testing.T) {
	b := newBench(t).known()
	sent := b.sent(3)
	b.fail(sent[0], protocol.NotEnoughReplicas) // certainly not appended
	if b.Phase() != Muted || len(b.send()) != 0 {
		t.Fatalf("phase %v after an error, want muted", b.Phase())
	}
	b.fail(sent[1], protocol.OutOfOrderSequenceNumber)
	if b.advance(1000); b.Phase() != Muted {
		t.Fatalf("phase %v with a copy on the wire, want muted", b.Phase())
	}
	b.fail(sent[2], protocol.OutOfOrderSequenceNumber)
	b.advance(1000)
	if again := func() []*Sealed { b.advance(1000); return b.send() }(); len(again) == 0 || again[0] != sent[0] {
		t.Errorf("sends %d batches, want the first one first", len(again))
	}
}

func TestALostAnswerIsAskedAboutBeforeAnythingIsSentAgain(t *testing.T) {
	b := newBench(t).known()
	sent := b.sent(1)
	if refresh := b.Answered(&b.e, sent[0], NoAnswer("cut")); !refresh {
		t.Error("does not ask for metadata after a lost answer")
	}
	b.advance(1)
	if w := b.advance(2000); w.Do != Ask || len(b.send()) != 0 {
		t.Fatalf("wants %+v, want to ask", w)
	}
	b.Described(&b.e, recovery.Named{Present: true, LastSequence: 0}, false, 1) // the log ends before it
	b.advance(1)
	again := b.send()
	if len(again) != 1 || again[0] != sent[0] {
		t.Fatalf("sends %v, want the batch as it was", again)
	}
	b.ack(again[0], 1)
	if b.advance(1); b.Lane.Pending() || b.Phase() != Ready {
		t.Errorf("pending %v, phase %v", b.Lane.Pending(), b.Phase())
	}
}

func TestARefusedRecordIsDeadLetteredAndTheNextEpochBegins(t *testing.T) {
	b := newBench(t).known()
	sent := b.sent(2)
	b.fail(sent[0], protocol.InvalidRecord)
	b.fail(sent[1], protocol.OutOfOrderSequenceNumber)
	b.advance(1)
	if len(b.e.Write.DeadLetters) != 1 || b.e.Write.DeadLetters[0].Index != 1 {
		t.Fatalf("dead letters %+v, want entry 1", b.e.Write.DeadLetters)
	}
	if id := b.Sequences().Identity; id.ID != 7 || id.Epoch != 1 {
		t.Errorf("identity %v, want 7/1", id)
	}
	// The other one is in memory still: it is sealed again in the same commit.
	if s := b.window; len(s) != 1 || s[0].Seal.Identity.Epoch != 1 || s[0].Seal.Base != 0 || s[0].Seal.Spans[0].First != 2 || s[0].durable {
		t.Errorf("sealed is %+v, want entry 2 in the next epoch", s)
	}
	b.commit()
	if again := b.send(); len(again) != 1 || again[0].Batch == sent[1].Batch {
		t.Errorf("sends %v, want the batch behind the refused one as a new one", again)
	}
}

func TestAWayThatIsNewIsAskedOver(t *testing.T) {
	b := newBench(t).known()
	b.advance(1)
	b.way++
	if w := b.advance(1); w.Do != Ask {
		t.Errorf("over a new way it wants %+v, want to ask", w)
	}
	round := b.Round()
	b.way++
	if b.advance(1); b.Round() == round {
		t.Error("what was asked over a former way counts")
	}
}

func TestAnAckBelowTheLastOneParks(t *testing.T) {
	b := newBench(t).known()
	b.spool(1)
	b.advance(1)
	b.commit()
	b.ack(b.send()[0], 0) // where the one before is
	if b.Phase() != Parked || b.Park().Reason != spool.ParkLogWentBack {
		t.Fatalf("phase %v, park %+v", b.Phase(), b.Park())
	}
	b.Resolve(&b.e, ResolveResend)
	if b.Phase() != Unknown || b.Park().Parked() {
		t.Errorf("phase %v, park %+v after it was resolved", b.Phase(), b.Park())
	}
}

func TestAStartFindsItsWindowInOrderOfSequences(t *testing.T) {
	b := newBench(t)
	seal := func(base protocol.Sequence, ordinal uint64) *spool.Seal {
		return &spool.Seal{SealKey: spool.SealKey{Identity: protocol.ProducerIdentity{ID: 3}, Base: base}, Count: 2, Ordinal: ordinal,
			Spans: []spool.Span{{First: spool.Index(base), End: spool.Index(base) + 2}}}
	}
	b.Restore(&spool.PartitionState{Identity: protocol.ProducerIdentity{ID: 3}, Next: 6, Settled: protocol.NoSequence, LastOffset: protocol.NoOffset})
	for k, base := range []protocol.Sequence{4, 0, 2} {
		b.RestoreSeal(seal(base, uint64(k)))
	}
	b.Restored()
	var got []protocol.Sequence
	for _, s := range b.window {
		got = append(got, s.Seal.Base)
	}
	if want := "[0 2 4]"; fmt.Sprint(got) != want {
		t.Errorf("window %v, want %s", got, want)
	}
	if n := b.InDoubt(); n != 6 {
		t.Errorf("%d records in doubt, want 6", n)
	}
}

func TestAPartitionTakesANewProducerIDOnlyWithNothingInDoubt(t *testing.T) {
	b := newBench(t).known()
	sent := b.sent(1)
	b.e.Identity = protocol.ProducerIdentity{ID: 8}
	b.spool(1)
	b.advance(1)
	if id := b.Sequences().Identity.ID; id != 7 {
		t.Fatalf("producer id %d while a batch is unanswered, want 7", id)
	}
	b.commit()
	sent = append(sent, b.send()...)
	for k, s := range sent {
		b.ack(s, protocol.Offset(1+k))
	}
	b.spool(1)
	b.advance(1)
	if seq := b.Sequences(); seq.Identity.ID != 8 || seq.Next != 1 {
		t.Errorf("identity %v, next %d, want producer id 8 from sequence 0 on", seq.Identity, seq.Next)
	}
}
