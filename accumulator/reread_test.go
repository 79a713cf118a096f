package accumulator

import (
	"testing"

	"github.com/spoold/spoold/spool"
)

// Before a topic's metadata comes, every partition is one that the topic does not have. Whoever delivers for it holds its queue.
func TestALaneThatIsReadAgainKeepsTheQueuesOfItsPartitions(t *testing.T) {
	a := New(Config{BatchSize: 1000, BufferMemory: 1 << 20})
	l := NewLane(1, "t", 0, 0, spool.Facts{})
	queue := l.Partition(2)
	l.Reread(a)
	l.SetPartitions(4)
	if l.Partition(2) != queue {
		t.Error("the partition has another queue now: records that are put there never leave")
	}
}
