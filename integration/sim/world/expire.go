package world

import (
	"math/rand/v2"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// expiring has records of a host given up, while its process lives. Which ones is drawn: the core does not go by their age.
type expiring struct {
	*host
	draw *rand.Rand
}

// expireAt begins it for the process that has just started.
func expireAt(h *host) {
	if h.plan.ExpireMs == 0 || h.plan.Alone { // when spool/bolt alone tidies up depends on the real disk
		return
	}
	e := &expiring{h, rand.New(rand.NewPCG(h.w.plan.Seed, uint64(h.id)<<32|uint64(h.life)))}
	e.later()
}

func (e *expiring) later() {
	e.after(1+e.draw.Int64N(2*e.plan.ExpireMs), func() {
		if e.w.ms() < e.w.plan.Chaos { // afterwards all that is left is to be delivered
			e.giveUp()
			e.later()
		}
	})
}

// giveUp has records of one topic given up.
func (e *expiring) giveUp() {
	h := e.host
	topics := h.core.Status(h.now()).Topics
	if h.closing || h.stopWith != nil || len(topics) == 0 {
		return
	}
	t := topics[e.draw.IntN(len(topics))]
	if t.Settled >= t.End {
		return
	}
	w := h.core.(*sender.Sender).Expire(t.Lane, t.Settled+1+spool.Index(e.draw.Uint64N(uint64(t.End-t.Settled))), 0)
	if w == nil {
		return
	}
	h.w.tell("host %d: records of %s expire below %d", h.id, t.Topic, w.End)
	sweep(h, w)
}

// sweep has records leave that the core has found.
func sweep(h *host, w *sender.Waiting) {
	var all []spool.Section
	for at := w.From; at < w.End; {
		sections, next, err := h.disk.Read(w.Lane, at, 1<<20)
		if err != nil || next <= at {
			h.end(check.Bug, false, "what expires cannot be read")
			return
		}
		all = append(all, sections...)
		at = next
	}
	effects, n := h.core.Sweep(h.now(), w, all, true)
	h.w.tell("host %d: %d records of %s leave below %d", h.id, n, w.Topic, w.End)
	h.carry(effects)
}
