package broker_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

var (
	seedsFlag = flag.Int("seeds", 300, "how many random histories of the replication are tried")
	seedFlag  = flag.Uint64("seed", 0, "the only history to be tried; 0: by number")
)

// Random brokers, topics and faults; producers that send one batch at a time, again and again until it is acked. What must hold is
// checked after every event: it is what Kafka promises, in whose name the model answers.
func TestWhatWasAckedIsNeverLostAndReplicasAgreeInTheEnd(t *testing.T) {
	sum := tally{}
	for seed := uint64(1); seed <= uint64(*seedsFlag); seed++ {
		s := seed
		if *seedFlag != 0 {
			s = *seedFlag
		}
		h := newHistory(t, s)
		h.run()
		sum.add(h.tally)
		if t.Failed() {
			t.Fatalf("seed %d; replay: go test -count=1 -run '^%s$' ./integration/sim/broker -seed %d -v", s, t.Name(), s)
		}
		if *seedFlag != 0 {
			break
		}
	}
	if *seedFlag == 0 && (sum.acked == 0 || sum.faults == 0 || sum.cuts == 0 || sum.deposed == 0) {
		t.Errorf("histories that prove nothing: %+v", sum)
	}
	t.Logf("%+v", sum)
}

// A failing seed is worth nothing if it does not fail again.
func TestTheSameSeedIsTheSameHistory(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		one, two := newHistory(t, seed), newHistory(t, seed)
		one.run()
		two.run()
		if !slices.Equal(one.trace, two.trace) || !slices.Equal(one.acked, two.acked) || one.tally != two.tally {
			t.Errorf("seed %d: two runs differ: %+v, %+v", seed, one.tally, two.tally)
		}
	}
}

// tally counts what happened in histories.
type tally struct {
	acked, unsure, faults, reigns, cuts, deposed int
}

func (a *tally) add(b tally) {
	a.acked += b.acked
	a.unsure += b.unsure
	a.faults += b.faults
	a.reigns += b.reigns
	a.cuts += b.cuts
	a.deposed += b.deposed
}

// history is one run of a cluster under faults.
type history struct {
	*lab
	seed  uint64
	rng   *rand.Rand
	name  string
	cfg   broker.Config
	topic broker.TopicConfig
	calm  bool // no more faults
	left  int  // batches to be acked
	base  int32
	next  int32
	acked []ack
	tally tally
	// by leader epoch
	leaders map[int32]int32
	marks   map[int32]int64
	trace   []string
}

type ack struct {
	offset int64
	base   int32
}

// troubled is how long there are faults, in ms.
const troubled = 20_000

func newHistory(t *testing.T, seed uint64) *history {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	h := &history{seed: seed, rng: rng, leaders: map[int32]int32{}, marks: map[int32]int64{}, left: 20 + rng.IntN(40)}
	h.cfg = broker.Config{Seed: seed, Brokers: 1 + rng.Int32N(3), NoELR: rng.IntN(4) == 0, Expiration: 1 << 50}
	h.topic = broker.TopicConfig{MinISR: 1 + rng.IntN(int(h.cfg.Brokers))}
	h.lab = newLab(t, h.cfg)
	h.Tell = func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); strings.Contains(s, "is cut from") {
			h.tally.cuts++
		}
		h.trace = append(h.trace, fmt.Sprintf("%d  "+format, append([]any{h.a.Now() % 1_000_000}, args...)...))
	}
	h.name = "t"
	h.CreateTopic(h.name, 1, 1+rng.IntN(int(h.cfg.Brokers)), h.topic)
	return h
}

func (h *history) run() {
	h.produce()
	h.a.After(50, h.fault)
	for end := h.a.Now() + troubled; h.left > 0 && h.a.Now() < end && !h.t.Failed() && h.a.Step(); {
		h.check()
	}
	h.calm = true
	h.Heal()
	for until := h.a.Now() + 30_000; !h.Quiet() && !h.t.Failed(); h.check() {
		if h.a.Now() > until || !h.a.Step() {
			h.fail("not quiet 30 s after all was healed")
		}
	}
	h.pass(1000) // followers receive the last high watermark
	h.agree()
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Errorf("seed %d, %d brokers, %+v: %s", h.seed, h.cfg.Brokers, h.topic, fmt.Sprintf(format, args...))
	for _, line := range h.trace[max(0, len(h.trace)-25):] {
		h.t.Log(line)
	}
}

// produce sends the next batch, or the same one again, to who is said to lead, or to somebody else.
func (h *history) produce() {
	if h.calm || h.left == 0 {
		return
	}
	again := func() { h.a.After(1+h.rng.Int64N(30), h.produce) }
	to := h.Leader(h.name, 0)
	if to < 0 || h.rng.IntN(20) == 0 {
		to = h.rng.Int32N(h.cfg.Brokers)
	}
	over := false
	k, ok := h.Open(to, func() {
		if !over {
			over = true
			h.tally.unsure++
			again()
		}
	})
	if !ok {
		again()
		return
	}
	s := h.seq(h.next, 1+int(h.next)%3)
	h.base = h.next
	timeout := int32(20 + h.rng.IntN(500))
	k.Receive(raw.Produce(9, -1, timeout, raw.Part{Topic: h.name, Records: s.Bytes()}), func(r kmsg.Response) {
		if over {
			return
		}
		over = true
		k.Close(false)
		p := &r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			// A deposed leader that does not know may say so rightly: it has not seen what its successor acked.
			if code := raw.Code(p.ErrorCode); to == h.Leader(h.name, 0) && (code == "OUT_OF_ORDER_SEQUENCE_NUMBER" || code == "INVALID_PRODUCER_EPOCH") {
				h.fail("batch at sequence %d, one at a time and in order, is answered %s", s.Base, raw.Code(p.ErrorCode))
			}
			h.tally.unsure++
			again()
			return
		}
		h.acked = append(h.acked, ack{p.BaseOffset, s.Base})
		h.tally.acked++
		h.next += int32(len(s.Records))
		h.left--
		again()
	})
	// A client that gives up, and what it sent is still served, or not.
	h.a.After(int64(timeout)+h.rng.Int64N(400), func() {
		if !over && h.rng.IntN(2) == 0 {
			over = true
			k.Close(h.rng.IntN(2) == 0)
			h.tally.unsure++
			again()
		}
	})
}

// fault does something bad, or makes it good again.
func (h *history) fault() {
	if h.calm || h.left == 0 {
		return
	}
	h.tally.faults++
	id := h.rng.Int32N(h.cfg.Brokers)
	switch h.rng.IntN(16) {
	case 0, 1, 2:
		h.Kill(id)
	case 3:
		h.Shutdown(id)
	case 4, 5, 6, 7:
		h.Start(id)
	case 8:
		h.Pause(id)
	case 9, 10:
		h.Resume(id)
	case 11:
		h.CutOff(id, true)
	case 12:
		h.CutOff(id, false)
	case 13:
		h.Slow(id, true)
	case 14:
		h.Slow(id, false)
	case 15:
		h.Move(h.name, 0, id)
	}
	h.a.After(h.rng.Int64N(250), h.fault)
}

// check is what holds at any time.
func (h *history) check() {
	replicas := h.ReplicasOf(h.name, 0)
	_, isr := h.Assignment(h.name, 0)
	for i := range replicas {
		r := &replicas[i]
		if !r.Leads {
			continue
		}
		if other, ok := h.leaders[r.Epoch]; ok && other != r.Broker {
			h.fail("brokers %d and %d both lead in epoch %d", other, r.Broker, r.Epoch)
		} else if !ok {
			h.tally.reigns++
		}
		h.leaders[r.Epoch] = r.Broker
		if r.HW < h.marks[r.Epoch] {
			h.fail("high watermark of broker %d falls from %d to %d in epoch %d", r.Broker, h.marks[r.Epoch], r.HW, r.Epoch)
		}
		h.marks[r.Epoch] = r.HW
		if !r.Believed {
			h.tally.deposed++
			continue // a deposed one that does not know
		}
		for j := range replicas {
			if f := &replicas[j]; slices.Contains(isr, f.Broker) && f.End < r.HW {
				h.fail("high watermark %d of leader %d is above the end %d of broker %d, which is in sync", r.HW, r.Broker, f.End, f.Broker)
			}
		}
		h.holds(r)
	}
}

// holds checks that the leader's log has every acked batch where it was, once.
func (h *history) holds(r *broker.ReplicaState) {
	if n := len(h.acked); n > 0 && r.End < h.acked[n-1].offset+1 {
		h.fail("leader %d of epoch %d ends at %d, but offset %d was acked", r.Broker, r.Epoch, r.End, h.acked[n-1].offset)
		return
	}
	for i := max(0, len(h.acked)-8); i < len(h.acked); i++ {
		a := h.acked[i]
		k, ok := slices.BinarySearchFunc(r.Batches, a.offset, func(b broker.BatchState, o int64) int { return int(b.Offset - o) })
		if !ok || r.Batches[k].Base != a.base {
			h.fail("sequence %d was acked at offset %d, where leader %d has something else", a.base, a.offset, r.Broker)
		}
	}
}

// agree checks the logs when all is quiet.
func (h *history) agree() {
	if h.t.Failed() {
		return
	}
	replicas := h.ReplicasOf(h.name, 0)
	for i := range replicas {
		r := &replicas[i]
		if !slices.Equal(r.Batches, replicas[0].Batches) {
			h.fail("brokers %d and %d have different logs: %v, %v", replicas[0].Broker, r.Broker, replicas[0].Batches, r.Batches)
		}
		if r.HW != r.End {
			h.fail("broker %d has high watermark %d of %d", r.Broker, r.HW, r.End)
		}
	}
	at := map[int32]int64{}
	for _, b := range replicas[0].Batches {
		if o, twice := at[b.Base]; twice {
			h.fail("sequence %d is in the log twice, at %d and %d", b.Base, o, b.Offset)
		}
		at[b.Base] = b.Offset
	}
	for _, a := range h.acked {
		if o, ok := at[a.base]; !ok || o != a.offset {
			h.fail("sequence %d was acked at %d, and is at %d (%v)", a.base, a.offset, o, ok)
		}
	}
}
