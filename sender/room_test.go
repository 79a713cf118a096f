package sender_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/sender"
)

// Records for a partition that the topic does not have filled the memory, but for less than a batch: what another topic's lane
// reads had room, and the batch that it was to go into had none. Found by the simulated world.
func TestAbsentPartitionLeavesNoOtherTopicWithoutABatch(t *testing.T) {
	for size := 40; size <= 900; size += 20 {
		d := newDrive(t, sender.Config{BatchSize: 925, BufferMemory: 3389, Seed: 1}, 1)
		d.produce("other", 0, 10)
		d.settle()
		for range 100 {
			d.produce("absent", 3, size)
			d.settle()
		}
		for range 20 {
			d.produce("other", 0, 600)
			d.settle()
		}
		d.pass(2000)
		if n := d.offsets["other0"]; n != 21 {
			t.Errorf("records of %d bytes wait for an absent partition: %d of 21 records of the other topic have left", size, n)
		}
		if n := d.s.Buffered(); n > 3389 {
			t.Errorf("%d bytes in memory, want at most 3389", n)
		}
	}
}

// A batch whose bytes were given up while it waited for its broker, which throttled, was never read back: its partition stood still until
// metadata came, after metadata.max.age.ms.
func TestABatchThatGaveUpItsBytesWhileItWaitedIsReadBack(t *testing.T) {
	const batch = 1000
	d := newDrive(t, sender.Config{BatchSize: batch, BufferMemory: 4 * batch, Seed: 1}, 2)
	d.second = true
	d.produce("a", 0, 900)
	d.produce("b", 1, 900)
	d.settle()
	lost, throttled := false, false
	d.broken = func(r sender.Request, resp *sender.Response) {
		switch m := resp.Message.(type) {
		case *kmsg.ProduceResponse:
			if r.Broker == 0 && !lost { // its fate has to be found out
				lost, resp.Message, resp.Err = true, nil, errRefused
			}
		case *kmsg.DescribeProducersResponse:
			if lost && !throttled {
				throttled, m.ThrottleMillis = true, 5000
			}
			first := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
			first.ProducerID, first.LastSequence = 7, 0
			for i := range m.Topics {
				m.Topics[i].Partitions[0].ActiveProducers = append(m.Topics[i].Partitions[0].ActiveProducers, first)
			}
		}
	}
	d.produce("a", 0, 900)
	d.settle()
	d.pass(300)
	if !throttled {
		t.Fatal("the leader was not asked what became of the batch")
	}
	d.holds = func(r sender.Request) bool { return r.Kind == sender.KindProduce && r.Broker == 1 }
	for range 20 { // of another broker, which does not answer for now: they want the memory
		d.produce("b", 1, 900)
		d.settle()
	}
	reads := d.reads
	d.pass(2000)
	if n := d.reads - reads; n > 16 {
		t.Errorf("the spool was read %d times in 2 s, want 16 at most: it is not read back only to be given up at once", n)
	}
	d.holds = nil
	d.requests, d.held = append(d.requests, d.held...), nil
	d.settle()
	d.pass(20_000)
	if n := d.offsets["b1"]; n != 21 {
		t.Errorf("%d of 21 records that wanted the memory have left", n)
	}
	if n := d.s.Pending(); n != 0 {
		t.Errorf("%d records wait still", n)
	}
}

// Batches that wait for company (linger.ms) go when there is no room for what would join them; with room, they wait.
func TestWhatLingersGoesWhenThereIsNoRoom(t *testing.T) {
	for _, tt := range []struct {
		memory int
		goes   bool
	}{{8000, true}, {1 << 20, false}} {
		d := newDrive(t, sender.Config{BatchSize: 1000, BufferMemory: tt.memory, LingerMs: 60_000, Seed: 1}, 20)
		for range 5 {
			for n := range int32(20) {
				d.produce("a", n, 100)
			}
		}
		d.settle()
		d.pass(1000)
		left := int64(0)
		for n := range 20 {
			left += d.offsets[fmt.Sprint("a", n)]
		}
		if left < 50 && tt.goes || left > 0 && !tt.goes {
			t.Errorf("with buffer.memory=%d, %d of 100 records have left within a second", tt.memory, left)
		}
		d.pass(60_000)
		left = 0
		for n := range 20 {
			left += d.offsets[fmt.Sprint("a", n)]
		}
		if left != 100 {
			t.Errorf("with buffer.memory=%d, %d of 100 records have left after linger.ms", tt.memory, left)
		}
	}
}
