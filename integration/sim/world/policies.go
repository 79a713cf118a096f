package world

import (
	"math/rand/v2"

	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// policies gives some small spools quotas for topics, and bounds for dead letters.
func (h *Host) policies(x *rand.Rand) {
	if x.IntN(2) == 0 {
		h.QuotaBytes, h.QuotaFull = 2*groupLeast+x.Int64N(100_000), uint8(x.IntN(3))
	}
	if x.IntN(2) == 0 {
		h.DeadBytes, h.DeadBlock = 10_000+x.Int64N(60_000), x.IntN(2) == 0
	}
}

// rules are the limits of the host's spool.
func (h *Host) rules() disk.Rules {
	return disk.Rules{
		MaxBytes: h.MaxBytes, Keys: spool.KeyRule{Window: 24 * 3600_000, Floor: 15 * 60_000, Max: h.MaxKeys},
		Policies: disk.Policies{Quota: bolt.Quota{Bytes: h.QuotaBytes, Full: bolt.QuotaPolicy(h.QuotaFull)}, DeadBytes: h.DeadBytes, DeadBlock: h.DeadBlock},
	}
}

// crowd is which lanes of a process are at their quota, and how far each was swept for that.
type crowd struct {
	over  map[spool.LaneID]bool
	swept map[spool.LaneID]spool.Index
}

// dropOldest has the oldest records of topics leave that are at their quota, as sender/loop does where that is the policy.
func dropOldest(h *host) {
	d, ok := h.disk.(*disk.Alone)
	if !ok || bolt.QuotaPolicy(h.plan.QuotaFull) != bolt.QuotaDropOldest || h.plan.QuotaBytes == 0 || !h.up || h.closing || h.stopWith != nil {
		return
	}
	if h.crowd.over == nil {
		h.crowd = crowd{map[spool.LaneID]bool{}, map[spool.LaneID]spool.Index{}}
	}
	c := &h.crowd
	for _, id := range d.Crowded() {
		c.over[id] = true
	}
	topics := h.core.Status(h.now()).Topics
	for i := range topics {
		t := &topics[i]
		if !c.over[t.Lane] {
			continue
		}
		end := d.Excess(t.Lane, c.swept[t.Lane])
		if end == 0 {
			delete(c.over, t.Lane)
			continue
		}
		if t.End < end {
			continue // the core has not been given all of it yet
		}
		w := h.core.(*sender.Sender).Drop(t.Lane, end, c.swept[t.Lane], "topic.quota.bytes is reached")
		if w == nil {
			continue
		}
		c.swept[t.Lane] = max(c.swept[t.Lane], w.End)
		h.w.count("oldest records dropped for a quota")
		if sweep(h, w); !h.up {
			return
		}
	}
}

// clearMs is how often an operator drops the dead letters of a spool that is to have no more of them.
const clearMs = 3000

// clearDead has an operator do so, while the process lives.
func clearDead(h *host) {
	d, ok := h.disk.(*disk.Alone)
	if !ok || !h.plan.DeadBlock {
		return
	}
	h.after(clearMs, func() {
		if d.DeadFull() && !h.committing && !h.closing && h.stopWith == nil {
			d.ClearDead()
			h.carry(h.core.Committed(h.now(), &spool.Committed{DeadFull: d.DeadFull()}))
		}
		if h.up {
			clearDead(h)
		}
	})
}
