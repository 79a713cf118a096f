package world

import "math/rand/v2"

// streamReal is Draw's own: what it draws shifts nothing else of the plan.
const streamReal = 0x4ea1

// reals gives all hosts of one seed in ninety spool/bolt itself.
func (d *drawing) reals() {
	if rand.New(rand.NewPCG(d.p.Seed, streamReal)).IntN(90) > 0 {
		return
	}
	for i := range d.p.Hosts {
		d.p.Hosts[i].Real = true
	}
}

// smallestSpool is the least that spool/bolt opens with (spool.max.bytes).
const smallestSpool = 1 << 20

// OnFiles gives all hosts spool/bolt itself, compared with its model or, as small ones have it anyway, alone. Alone its own limit counts, which is of whole
// pages: a few records that stay for good, in a topic that was created anew, must not fill it.
func (p *Plan) OnFiles(alone bool) *Plan {
	for i := range p.Hosts {
		h := &p.Hosts[i]
		if h.Alone { // small spools stay so: the model has no policies, and no bound for what a commit takes, which their large records meet
			continue
		}
		h.Real, h.Alone = !alone, alone
		if alone {
			h.MaxBytes = max(8*h.MaxBytes, smallestSpool)
		}
	}
	return p
}
