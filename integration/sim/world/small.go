package world

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"syscall"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/spool"
)

// groupLeast is more than a request may have where nobody waits for a group of its own.
const groupLeast = 15_000

// streamSmall is Draw's own, as streamReal is.
const streamSmall = 0x5a11

// small has all hosts of one seed in a hundred keep their spools in files of spool/bolt, of which a few large records take all that they may
// own. A full disk is then one on which something else takes the room, or one whose process gets no descriptor any more.
func (d *drawing) small() {
	p := d.p
	x := rand.New(rand.NewPCG(p.Seed, streamSmall))
	if d.copied != nil || d.restores || d.nights || p.Cluster.Transactions > 0 || x.IntN(100) != 0 {
		return
	}
	for i := range p.Hosts {
		h := &p.Hosts[i]
		h.Real, h.Alone, h.MaxBytes = false, true, smallestSpool+x.Int64N(smallestSpool)
		h.Sender.MaxRequestSize += 10_000
		if h.policies(x); h.DeadBytes > 0 {
			d.lastingAt(i, &Lasting{Kind: Flood, Topic: fmt.Sprintf("trouble-dead-%d", i), At: x.Int64N(p.Chaos), Records: 100 + x.IntN(200), Bytes: 100 + x.IntN(300), D: x.Int64N(2)})
		}
	}
	for i := range p.Clients {
		c := &p.Clients[i]
		c.Pad = x.IntN(groupLeast / 2 / c.Batch)
	}
	if x.IntN(2) == 0 {
		kind := []LastingKind{Missing, Absent, Forbidden}[x.IntN(3)]
		d.lastingAt(x.IntN(len(p.Hosts)), &Lasting{Kind: kind, Topic: "trouble-full", At: x.Int64N(p.Chaos), Records: 160, Steps: 80, Bytes: groupLeast/4 + x.IntN(groupLeast/20)})
	}
	for range 1 + x.IntN(3) {
		p.Faults = append(p.Faults, Fault{At: 50 + x.Int64N(p.Chaos), Kind: DiskFull, A: x.Int32N(int32(len(p.Hosts))), D: 1 + x.Int64N(700)})
	}
}

// lastingAt gives a topic that records come to at a host lasting trouble.
func (d *drawing) lastingAt(host int, l *Lasting) {
	l.Host = host
	d.p.Hosts[host].Sender.AutoCreate = false
	d.allowed[spool.ParkRefused] = true
	d.p.Lasting = append(d.p.Lasting, *l)
}

// lacks has something else take the disk's room, or all descriptors, for a while. It reports whether the host's disk is one that
// meets that itself.
func lacks(h *host, ms int64) bool {
	d, ok := h.disk.(*disk.Alone)
	if !ok {
		return false
	}
	err := syscall.ENOSPC
	if ms%3 == 0 {
		err = syscall.EMFILE
	}
	h.w.tell("host %d: %v for %d ms", h.id, err, ms)
	d.Lack(err)
	h.lack++
	mine := h.lack
	h.w.ag.After(ms, func() {
		if h.lack == mine {
			d.Lack(nil)
		}
	})
	return true
}

// refusedForGood reports whether a host's clients may be refused without end: on a small disk that records fill of which no choice
// of the operator's is right.
func refusedForGood(h *host) bool {
	_, small := h.disk.(*disk.Alone)
	return small && h.stuck
}

// roomless says which hosts whose records have all left have no room, or keep too much of it.
func roomless(w *World) (out []check.Violation) {
	for _, h := range w.hosts {
		d, ok := h.disk.(*disk.Alone)
		if !ok || !h.up || h.gone || h.stuck || h.committing || d.Counters().Pending() > 0 {
			continue
		}
		if what := cmp.Or(d.Roomless(), d.Untaken()); what != "" {
			out = append(out, check.Violation{Law: "P8", Text: fmt.Sprintf("host %d, with everything delivered: %s", h.id, what)})
		}
	}
	return out
}
