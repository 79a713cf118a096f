package idempotence

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

func sealedAt(base protocol.Sequence, count int32, stamp int64) *Sealed {
	return &Sealed{Seal: spool.Seal{SealKey: spool.SealKey{Base: base}, Count: count, MaxTimestamp: stamp}, offset: protocol.NoOffset}
}

func TestTheNextBatchIsTheFirstThatIsNotSentOrAcked(t *testing.T) {
	a, b, c := sealedAt(0, 1, 3), sealedAt(1, 1, 1), sealedAt(2, 1, 2)
	bs := batches{window: []*Sealed{a, b, c}}
	bs.sent(a)
	if got := bs.unsent(); got != b {
		t.Errorf("next is %+v, want the second", got)
	}
	if bs.OnWire() != 1 || bs.oldest(false) != 1 || bs.oldest(true) != 3 {
		t.Errorf("%d on the wire, oldest %d, of those on the wire %d; want 1, 1, 3", bs.OnWire(), bs.oldest(false), bs.oldest(true))
	}
	b.acked = true
	if got := bs.unsent(); got != c || !bs.overtaken() {
		t.Errorf("next is %+v, overtaken %v; want the third, true", got, bs.overtaken())
	}
	a.acked, b.acked = true, false
	if bs.overtaken() {
		t.Error("an ack of the front overtakes nothing")
	}
}

func TestTheWindowIsInTheOrderOfSequencesAcrossTheWrap(t *testing.T) {
	last := protocol.Sequence(1<<31 - 1)
	bs := batches{window: []*Sealed{sealedAt(1, 1, 0), sealedAt(last, 2, 0), sealedAt(last-1, 1, 0)}}
	bs.inOrder(last - 5)
	var got []protocol.Sequence
	for _, b := range bs.window {
		got = append(got, b.Seal.Base)
	}
	if want := []protocol.Sequence{last - 1, last, 1}; !slices.Equal(got, want) {
		t.Errorf("sequences %v, want %v", got, want)
	}
}

func TestWhatMayHaveBeenSeenIsAckedFoundRefusedOrUnanswered(t *testing.T) {
	tests := []struct {
		name string
		b    batches
		want bool
	}{
		{"nothing", batches{}, false},
		{"never sent", batches{window: []*Sealed{{}}}, false},
		{"acked", batches{window: []*Sealed{{acked: true}}}, true},
		{"found at the start", batches{window: []*Sealed{{found: true}}}, true},
		{"an answer is missing", batches{window: []*Sealed{{maybe: 1}}}, true},
		{"answered that the topic id is unknown", batches{window: []*Sealed{{maybe: 2, unknownID: 2}}}, false},
		{"one copy of two so", batches{window: []*Sealed{{maybe: 2, unknownID: 1}}}, true},
		{"refused, perhaps in the log", batches{refusedMaybe: []*Sealed{{}}}, true},
	}
	for _, tt := range tests {
		if got := tt.b.maybeSeen(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestARefusedBatchIsFoundInsideALargerOneInTheLog(t *testing.T) {
	id := protocol.ProducerIdentity{ID: 7}
	b := sealedAt(12, 3, 0)
	b.Seal.Identity = id
	bs := batches{refusedMaybe: []*Sealed{b, sealedAt(20, 1, 0)}, boundKnown: true}
	logged := func(id protocol.ProducerIdentity, base protocol.Sequence, count int32) *recovery.Tail {
		return &recovery.Tail{Batches: []recovery.Logged{{Identity: id, Base: base, Count: count, Offset: 100}}}
	}
	for _, tt := range []struct {
		name string
		tail *recovery.Tail
		want protocol.Offset
	}{
		{"the same", logged(id, 12, 3), 100},
		{"the whole of which it was cut", logged(id, 10, 5), 102},
		{"its first two records", logged(id, 12, 2), protocol.NoOffset},
		{"another epoch", logged(protocol.ProducerIdentity{ID: 7, Epoch: 1}, 12, 3), protocol.NoOffset},
	} {
		if got := bs.refusedAt(tt.tail); got != tt.want {
			t.Errorf("%s: offset %d, want %d", tt.name, got, tt.want)
		}
	}
	if bs.dropRefused() || !bs.boundKnown {
		t.Error("the first of two was the last one")
	}
	if !bs.dropRefused() || bs.boundKnown {
		t.Error("the last one leaves a bound, or others")
	}
}

func TestAnIdentityIsAdoptedOnlyWhenNothingIsInDoubt(t *testing.T) {
	former, fresh := protocol.ProducerIdentity{ID: 3}, protocol.ProducerIdentity{ID: 7}
	used := func(epoch protocol.ProducerEpoch, exhausted bool) identity {
		id := identity{seq: protocol.NewSequences(), exhausted: exhausted}
		id.seq.Identity = former
		id.seq.Identity.Epoch = epoch
		return id
	}
	tests := []struct {
		name            string
		id              identity
		free            bool
		given           protocol.ProducerIdentity
		usable, adopted bool
		another         bool
	}{
		{"a first one", identity{seq: protocol.NewSequences()}, true, fresh, true, true, false},
		{"none is there yet", identity{seq: protocol.NewSequences()}, true, protocol.NoIdentity, false, false, false},
		{"in doubt: it goes on under the former one", used(0, false), false, fresh, true, false, false},
		{"free: it takes the new one", used(0, false), true, fresh, true, true, false},
		{"its own next epoch comes first", used(1, false), true, fresh, true, false, false},
		{"no epoch is left, and there is a new one", used(protocol.MaxProducerEpoch, true), true, fresh, true, true, false},
		{"no epoch is left of this start's own", used(protocol.MaxProducerEpoch, true), true, former, false, false, true},
	}
	for _, tt := range tests {
		e := &Env{Identity: tt.given}
		usable, adopted := tt.id.adopt(e, tt.free)
		if usable != tt.usable || adopted != tt.adopted || e.AnotherIdentity != tt.another {
			t.Errorf("%s: usable %v, adopted %v, wants another %v; want %v, %v, %v", tt.name, usable, adopted, e.AnotherIdentity, tt.usable, tt.adopted, tt.another)
		}
		if adopted && tt.id.seq.Identity != tt.given {
			t.Errorf("%s: identity %v", tt.name, tt.id.seq.Identity)
		}
	}
}

func TestEarlierBatchesAreNotSettledWhereTheLogHasNoRoomForThem(t *testing.T) {
	id := identity{seq: protocol.NewSequences()}
	id.seq.LastOffset = 9 // the next one is at 10 or above
	window := []*Sealed{sealedAt(0, 5, 0), sealedAt(5, 5, 0)}
	step := func(how string, offsets ...protocol.Offset) *recovery.Step {
		return &recovery.Step{Count: len(offsets), Offsets: offsets, How: how}
	}
	for _, tt := range []struct {
		name string
		step *recovery.Step
		want string
	}{
		{"the second begins where the first ends", step("answer", protocol.NoOffset, 15), ""},
		{"the second begins before the first ends", step("answer", protocol.NoOffset, 14), spool.ParkStateForgotten},
		{"the second is below what was acked before", step("answer", protocol.NoOffset, 9), spool.ParkLogWentBack},
		{"the log was read", step("tail", protocol.NoOffset, 14), ""},
	} {
		if got := id.leavesNoRoom(tt.step, window); got.Reason != tt.want {
			t.Errorf("%s: parked for %q, want %q", tt.name, got.Reason, tt.want)
		}
	}
}

func TestAPauseBeginsOnceAndEndsAfterItsTime(t *testing.T) {
	e := &Env{Config: Config{Backoff: &protocol.Backoff{Ms: 100, MaxMs: 1000, Rand: rand.New(rand.NewPCG(1, 2))}, RetryBackoffMaxMs: 1000}}
	e.Now.Age = 10
	p := pace{Detail: "why"}
	over := p.paused(e)
	end := p.retryAt
	if over || end < 90 || end > 130 || e.WakeAt != end {
		t.Fatalf("over %v, until %d, wake-up at %d; want about 110", over, end, e.WakeAt)
	}
	if e.Now.Age = end - 1; p.paused(e) {
		t.Error("over 1 ms early")
	}
	if e.Now.Age = end; !p.paused(e) || p.Detail != "why" {
		t.Errorf("not over after its time, or the detail is lost: %q", p.Detail)
	}
	if p.paused(e) || p.retryAt-end < 160 || p.retryAt-end > 240 {
		t.Errorf("the second pause lasts %d ms, want about 200: twice as long", p.retryAt-end)
	}
	p.slow(e)
	if want := end + slowMs; p.retryAt != want {
		t.Errorf("only an operator can help: tried again at %d, want %d", p.retryAt, want)
	}
	p.atOnce()
	if p.retryAt != 0 || p.attempts != 0 || p.Detail != "" {
		t.Errorf("it still waits: %+v", p)
	}
}

// The shell may still read the bytes of a copy that is on the wire, and those of a batch that is being encoded.
func TestABatchIsNotRecycledWhileItsBytesMayBeRead(t *testing.T) {
	tests := []struct {
		name     string
		b        Sealed
		recycled bool
	}{
		{"a copy is on the wire", Sealed{copies: 1, sent: true}, false},
		{"it is being encoded, and was never sent", Sealed{}, false},
		{"every copy is answered", Sealed{copies: 2}, true},
	}
	for _, tt := range tests {
		acc := accumulator.New(accumulator.Config{BatchSize: 1024, BufferMemory: 1 << 20})
		e := &Env{Accumulator: acc}
		batch := &accumulator.Batch{Buf: make([]byte, 1024)}
		acc.Adopt(batch)
		tt.b.Batch = batch
		e.recycle(&tt.b)
		if got := len(e.Recycle) == 1; got != tt.recycled || tt.b.Batch != nil {
			t.Errorf("%s: recycled %v, want %v", tt.name, got, tt.recycled)
		}
		if (batch.Buf == nil) != tt.recycled {
			t.Errorf("%s: its memory was given to others: %v", tt.name, batch.Buf == nil)
		}
		if acc.Used() != 0 {
			t.Errorf("%s: %d bytes are still counted", tt.name, acc.Used())
		}
		e.recycle(&tt.b) // once is enough
		if acc.Used() != 0 || len(e.Recycle) > 1 {
			t.Errorf("%s: recycled twice", tt.name)
		}
	}
}
