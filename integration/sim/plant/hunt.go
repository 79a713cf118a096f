package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/spoold/spoold/integration/sim/world"
	"github.com/spoold/spoold/internal/planted"
)

// caught is what became of one mistake.
type caught struct {
	name, what string
	onFiles    bool
	broken     find // of a law
	differs    find // onFiles: of spool/bolt from its model
	seconds    float64
}

// find is the first seed that breaks a law, of those that were tried. seed 0: none does.
type find struct {
	on   disks
	seed uint64
	law  string
	text string
}

// disks are what the hosts of a plan have.
type disks int

const (
	asDrawn  disks = iota // a model of spool/bolt, and in one seed of ninety spool/bolt
	alone                 // spool/bolt itself
	compared              // spool/bolt itself, and its model beside it: the first difference ends the run
)

// plan is a seed's plan, on these disks.
func plan(seed uint64, on disks) *world.Plan {
	if p := world.Draw(seed); on != asDrawn {
		return p.OnFiles(on == alone)
	}
	return world.Draw(seed)
}

// hunt looks for the seeds that find a mistake, which is made already.
func hunt(b planted.Bug, name, what string, most uint64, workers int) caught {
	began := time.Now()
	c := caught{name: name, what: what, onFiles: b.OnFiles()}
	if c.onFiles {
		c.broken, c.differs = first(alone, most, workers), first(compared, most, workers)
	} else {
		c.broken = first(asDrawn, most, workers)
	}
	c.seconds = time.Since(began).Seconds()
	return c
}

// first is the first seed that breaks a law. Seeds are taken in order, and each that is taken is run to its end.
func first(on disks, most uint64, workers int) find {
	f := find{on: on}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := uint64(1)
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				enough := seed > most || f.seed != 0
				mu.Unlock()
				if enough {
					return
				}
				r := world.Run(plan(seed, on))
				mu.Lock()
				if len(r.Violations) > 0 && (f.seed == 0 || seed < f.seed) {
					v := r.Violations[0]
					f.seed, f.law, f.text = seed, v.Law, v.String()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return f
}

// seed is how many seeds it took; 0: it was not caught. What breaks a law counts before what only differs.
func (c *caught) seed() uint64 {
	if c.broken.seed == 0 {
		return c.differs.seed
	}
	return c.broken.seed
}

// by is what caught it.
func (c *caught) by() find {
	if c.broken.seed == 0 {
		return c.differs
	}
	return c.broken
}

// innocent runs the same seeds on the same disks without any mistake: whatever breaks a law then is no catch.
func innocent(all []caught) error {
	if err := planted.Choose(""); err != nil {
		return err
	}
	type where struct {
		seed uint64
		on   disks
	}
	done := map[where]bool{}
	for i := range all {
		for _, f := range []find{all[i].broken, all[i].differs} {
			at := where{f.seed, f.on}
			if f.seed == 0 || done[at] {
				continue
			}
			done[at] = true
			if r := world.Run(plan(f.seed, f.on)); len(r.Violations) > 0 {
				return fmt.Errorf("plant: seed %d breaks a law without any mistake: %v", f.seed, r.Violations[0])
			}
		}
	}
	return nil
}
