package world

import "math/rand/v2"

// streamReal is Draw's own: what it draws shifts nothing else of the plan.
const streamReal = 0x4ea1

// reals gives all hosts of one seed in fifty spool/bolt itself.
func (d *drawing) reals() {
	if rand.New(rand.NewPCG(d.p.Seed, streamReal)).IntN(50) > 0 {
		return
	}
	for i := range d.p.Hosts {
		d.p.Hosts[i].Real = true
	}
}
