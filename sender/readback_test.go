package sender

import (
	"testing"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// A partition that waits for room to read a batch back is not looked at in every call, but when there is room, and at the
// latest when others may give memory back.
func TestAPartitionThatWaitsForRoomIsLookedAtWhenThereIsSome(t *testing.T) {
	c := &call{cfg: Config{BatchSize: 1000, RetryBackoffMaxMs: 1000}, view: cluster.New(cluster.Config{})}
	c.acc = accumulator.New(accumulator.Config{BatchSize: 1000, BufferMemory: 2500})
	c.now.Age = 100
	p := parts{call: c, topics: &topics{call: c}, requests: &requests{call: c}, work: &work{call: c}}
	fs := &feeds{parts: p, reads: make(map[uint64]*partition)}
	list := busy(fs.work, 3)
	for _, q := range list {
		q.lane = &lane{remote: c.view.Follow("a", [16]byte{})}
	}
	read := func(q *partition) (asked bool) {
		before := len(c.eff.Feed)
		fs.readBack(q, &idempotence.Want{Batch: &idempotence.Sealed{Seal: spool.Seal{}}})
		return len(c.eff.Feed) > before
	}
	held := &accumulator.Batch{Buf: make([]byte, 1000)}
	c.acc.Adopt(held)
	if !read(list[0]) || !read(list[1]) || read(list[2]) {
		t.Fatal("want room for one batch, and one more that needs none")
	}
	if c.eff.WakeAt != 600 {
		t.Errorf("wake-up at %d, want 600: after half the longest back-off others may give memory back", c.eff.WakeAt)
	}
	c.eff.WakeAt = 0
	if fs.touchStarved(); len(fs.touched) != 0 || c.eff.WakeAt != 600 {
		t.Errorf("%d looks while there is no room, wake-up at %d; want none, 600", len(fs.touched), c.eff.WakeAt)
	}
	c.acc.Recycle(held)
	if fs.touchStarved(); len(fs.touched) != 0 {
		t.Errorf("%d looks while what is on its way takes the room, want none", len(fs.touched))
	}
	if fs.readingBack(1) != list[0] || fs.readingBack(1) != nil {
		t.Error("a Feed belongs to the partition that it was asked for, once")
	}
	if fs.touchStarved(); len(fs.touched) != 1 || fs.touched[0] != list[2] {
		t.Errorf("%d looks when there is room, want the one that waits", len(fs.touched))
	}
}
