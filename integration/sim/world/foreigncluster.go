package world

import (
	"math/rand/v2"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/sender"
)

// streamForeign is Draw's own, as streamReal is.
const streamForeign = 0x57a9

// foreignCluster has the brokers of one seed in eight rebuilt with another cluster id for a while, where nothing is sent then.
func (d *drawing) foreignCluster() {
	x := rand.New(rand.NewPCG(d.p.Seed, streamForeign))
	if d.copied != nil || d.restores || d.p.Cluster.Transactions > 0 || x.IntN(8) != 0 {
		return
	}
	for range 1 + x.IntN(2) {
		d.p.Faults = append(d.p.Faults, Fault{At: 50 + x.Int64N(d.p.Chaos), Kind: ForeignCluster, A: x.Int32N(int32(len(d.p.Hosts))), D: 50 + x.Int64N(1200)})
	}
}

// foreignClusterID is the cluster id that they have.
const foreignClusterID = "rebuilt-cluster"

// meetForeignCluster has all connections of a host end, and those that it opens meet brokers of another cluster id. Who carries a core's requests out asks
// each new connection for that, before it sends anything. The process lives, and shows why nothing leaves.
func meetForeignCluster(h *host, f *Fault) bool {
	now := h.w.ag.Now()
	if !h.up || !h.bound || h.cluster != h.w.cluster || now < h.foreignUntil {
		return false
	}
	h.foreignUntil = now + f.D
	for _, b := range h.w.brokerIDs() {
		if l := h.links[b]; l != nil && l.up {
			h.after(0, func() { l.lost("reset by peer") })
		}
	}
	life, until := h.life, h.foreignUntil
	// With nothing that could leave, a connection is tried when metadata is due.
	h.w.ag.After(f.D-1, func() {
		if h.life != life || !h.up || h.closing || h.w.calm || h.foreignUntil != until || f.D < h.plan.Sender.MetadataMaxAgeMs+abroadMs {
			return
		}
		if h.apart <= now && h.paused <= now && !h.showsForeign() {
			h.w.event(check.Event{Kind: check.Moved, Host: h.id, N: 1})
		}
	})
	return true
}

// foreign is what a new connection is refused for, or nil.
func foreign(h *host) error {
	if h.w.ag.Now() >= h.foreignUntil {
		return nil
	}
	return &sender.ForeignClusterError{Bound: h.cluster.ID(), Found: foreignClusterID}
}
