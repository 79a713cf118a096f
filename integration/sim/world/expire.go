package world

import (
	"math/rand/v2"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/spool"
)

// expireLater has records given up after a while, and again, as delivery.timeout.ms does. Which ones is drawn: the core does not
// go by their age.
func (h *host) expireLater() {
	if h.plan.ExpireMs == 0 || h.plan.Alone { // when spool/bolt alone tidies up depends on the real disk
		return
	}
	x := rand.New(rand.NewPCG(h.w.plan.Seed, uint64(h.id)<<32|uint64(h.life)))
	var again func()
	again = func() {
		if h.w.ms() >= h.w.plan.Chaos {
			return // all that is left is to be delivered
		}
		h.expire(x)
		h.after(1+x.Int64N(2*h.plan.ExpireMs), again)
	}
	h.after(1+x.Int64N(2*h.plan.ExpireMs), again)
}

// expire gives records of one topic up.
func (h *host) expire(x *rand.Rand) {
	topics := h.core.Status(h.now()).Topics
	if h.closing || h.stopWith != nil || len(topics) == 0 {
		return
	}
	t := topics[x.IntN(len(topics))]
	if t.Settled >= t.End {
		return
	}
	w := h.core.Expire(t.Lane, t.Settled+1+spool.Index(x.Uint64N(uint64(t.End-t.Settled))), 0)
	if w == nil {
		return
	}
	var all []spool.Section
	for at := w.From; at < w.End; {
		sections, next, err := h.disk.Read(t.Lane, at, 1<<20)
		if err != nil || next <= at {
			h.end(check.Bug, false, "read what expires")
			return
		}
		all = append(all, sections...)
		at = next
	}
	e, n := h.core.Sweep(h.now(), w, all, true)
	h.w.tell("host %d: %d records of %s expire below %d", h.id, n, t.Topic, w.End)
	h.carry(e)
}
