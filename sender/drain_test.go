package sender_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// settleButProduce carries out all that does not need time to pass, and returns the Produce requests without an answer.
func (d *drive) settleButProduce() (produce []sender.Request) {
	for {
		rest := d.requests[:0:0]
		for _, r := range d.requests {
			if r.Kind == sender.KindProduce {
				produce = append(produce, r)
			} else {
				rest = append(rest, r)
			}
		}
		d.requests = rest
		switch {
		case d.write != 0:
			d.carry(d.s.Committed(d.now, d.committed()))
		case len(d.requests) > 0:
			r := d.requests[0]
			d.requests = d.requests[1:]
			d.carry(d.s.Handle(d.now, d.answer(r)))
		default:
			return produce
		}
	}
}

// produceTogether commits records for partitions of a topic in one commit.
func (d *drive) produceTogether(topic string, size int, partitions ...int32) {
	all := &spool.Committed{}
	for _, n := range partitions {
		c := d.spool(topic, n, size)
		all.Writes = max(all.Writes, c.Writes)
		all.Sections = append(all.Sections, c.Sections...)
	}
	d.carry(d.s.Committed(d.now, all))
}

// readyDrive has a connection and a producer id, and has sent a record to each partition of topic a.
func readyDrive(t *testing.T, cfg sender.Config, parts int) *drive {
	d := newDrive(t, cfg, parts)
	for n := range int32(parts) {
		d.produce("a", n, 10)
	}
	d.settle()
	d.pass(1000)
	if n := d.s.Pending(); n != 0 {
		t.Fatalf("%d records are pending at the start", n)
	}
	return d
}

func TestARequestIsNoLargerThanMaxRequestSize(t *testing.T) {
	d := readyDrive(t, sender.Config{BatchSize: 1000, MaxRequestSize: 2500, Seed: 1}, 5)
	d.produceTogether("a", 950, 0, 1, 2, 3, 4)
	sent := 0
	produce := d.settleButProduce()
	if len(produce) != 3 {
		t.Errorf("%d requests, want 3: of two batches, two and one", len(produce))
	}
	for _, r := range produce {
		size := 0
		for _, b := range r.Batches {
			size += len(b.Buf)
		}
		if size > 2500 || len(r.Batches) == 0 {
			t.Errorf("a request of %d batches has %d bytes, want at most 2500", len(r.Batches), size)
		}
		sent += len(r.Batches)
	}
	if sent != 5 {
		t.Errorf("%d batches were sent, want 5", sent)
	}
}

func TestABatchLargerThanMaxRequestSizeGoesAlone(t *testing.T) {
	d := readyDrive(t, sender.Config{BatchSize: 1000, MaxRequestSize: 2500, Seed: 1}, 2)
	d.produceTogether("a", 4000, 0, 1)
	produce := d.settleButProduce()
	if len(produce) != 2 || len(produce[0].Batches) != 1 || len(produce[1].Batches) != 1 {
		t.Errorf("%d requests, want 2 of one batch each: %+v", len(produce), produce)
	}
}

// With room for one batch in a request, and two requests at a time, each partition has its turn.
func TestTheDrainStartsAtAnotherPartitionEachTime(t *testing.T) {
	const parts, each = 3, 4
	d := readyDrive(t, sender.Config{BatchSize: 1000, MaxRequestSize: 1000, MaxInFlight: 2, Seed: 1}, parts)
	d.produceTogether("a", 950, slices.Repeat([]int32{0, 1, 2}, each)...)
	var turns []int32
	var unanswered []sender.Request
	for {
		for _, r := range d.settleButProduce() {
			if len(r.Batches) != 1 {
				t.Fatalf("a request of %d batches, want 1", len(r.Batches))
			}
			turns = append(turns, r.Batches[0].Partition)
			unanswered = append(unanswered, r)
		}
		if len(unanswered) == 0 {
			break
		}
		d.carry(d.s.Handle(d.now, d.answer(unanswered[0])))
		unanswered = unanswered[1:]
	}
	if len(turns) != parts*each {
		t.Fatalf("%d batches left, want %d", len(turns), parts*each)
	}
	for k := 0; k < len(turns); k += parts {
		round := slices.Clone(turns[k : k+parts])
		slices.Sort(round)
		if !slices.Equal(round, []int32{0, 1, 2}) {
			t.Errorf("turn %d went to partitions %v, want one to each; all: %v", k/parts, turns[k:k+parts], turns)
		}
	}
}

func TestNothingIsProducedToABrokerThatThrottles(t *testing.T) {
	d := readyDrive(t, sender.Config{Seed: 1}, 1)
	d.produce("a", 0, 10)
	produce := d.settleButProduce()
	if len(produce) != 1 {
		t.Fatalf("%d requests, want 1", len(produce))
	}
	resp := d.answer(produce[0])
	resp.Message.(*kmsg.ProduceResponse).ThrottleMillis = 500
	d.carry(d.s.Handle(d.now, resp))
	began := d.now.Age
	d.produce("a", 0, 10)
	if n := len(d.settleButProduce()); n != 0 {
		t.Fatalf("%d requests to a broker that throttles, want none", n)
	}
	if d.wakeAt != began+500 {
		t.Fatalf("wake-up after %d ms, want 500", d.wakeAt-began)
	}
	d.now.Age, d.now.Wall = began+499, d.now.Wall+499
	d.carry(d.s.Tick(d.now))
	if n := len(d.settleButProduce()); n != 0 {
		t.Errorf("%d requests 1 ms before the end of the pause, want none", n)
	}
	d.now.Age, d.now.Wall = began+500, d.now.Wall+1
	d.carry(d.s.Tick(d.now))
	if n := len(d.settleButProduce()); n != 1 {
		t.Errorf("%d requests after the pause, want 1", n)
	}
}

// Without jitter all producers that lost the same broker come back at the same moment.
func TestRetriesOfDifferentProducersAreSpread(t *testing.T) {
	pauses := map[int64]bool{}
	for seed := range uint64(20) {
		d := newDrive(t, sender.Config{Seed: seed, RetryBackoffMs: 1000, RetryBackoffMaxMs: 10_000}, 1)
		d.produce("a", 0, 10)
		for len(d.requests) > 0 && d.requests[0].Kind != sender.KindControl {
			d.requests = d.requests[1:]
		}
		if len(d.requests) == 0 {
			t.Fatal("metadata is not asked for")
		}
		d.carry(d.s.Handle(d.now, sender.Response{ID: d.requests[0].ID, Err: errRefused}))
		pause := d.wakeAt - d.now.Age
		if pause < 800 || pause > 1200 {
			t.Errorf("seed %d: a pause of %d ms, want 1000 and at most a fifth more or less", seed, pause)
		}
		pauses[pause] = true
	}
	if len(pauses) < 10 {
		t.Errorf("20 producers have %d different pauses", len(pauses))
	}
}

// The next look is when the batch that waits longest has waited for linger.ms: one behind a broker that is away has none.
func TestTheOldestBatchSaysWhenToLookNext(t *testing.T) {
	d := readyDrive(t, sender.Config{LingerMs: 1000, Seed: 1}, 3)
	later := func(ms int64) {
		d.now.Age, d.now.Wall = d.now.Age+ms, d.now.Wall+ms
	}
	began := d.now.Age
	for n := range int32(3) {
		d.produce("a", n, 10)
		later(200)
	}
	if sent := d.settleButProduce(); len(sent) != 0 || d.wakeAt != began+1000 {
		t.Fatalf("%d requests, the next look after %d ms, want none and 1000", len(sent), d.wakeAt-began)
	}
	later(400)
	d.carry(d.s.Tick(d.now))
	sent := d.settleButProduce()
	if len(sent) != 1 || len(sent[0].Batches) != 1 || sent[0].Batches[0].Partition != 0 || d.wakeAt != began+1200 {
		t.Errorf("%d requests, the next look after %d ms, want 1 and 1200", len(sent), d.wakeAt-began)
	}
}
