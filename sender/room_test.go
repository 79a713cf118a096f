package sender_test

import (
	"testing"

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
