package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spoold/spoold/integration/proof"
	"github.com/spoold/spoold/integration/sim/world"
	"github.com/spoold/spoold/internal/planted"
)

// caught is what became of one mistake.
type caught struct {
	name, what string
	seed       uint64 // the first seed that breaks a law; 0: none does
	law        string
	text       string
	seconds    float64
}

func main() {
	most := flag.Uint64("seeds", 10_000, "how many seeds to try for each mistake")
	name := flag.String("bug", "", "make this mistake alone, by its `name`")
	out := flag.String("o", "", "write the table to this `file`")
	keep := flag.String("keep", "", "with -bug: write a smaller plan that catches it to this `file`")
	workers := flag.Int("workers", runtime.NumCPU(), "how many seeds at a time")
	flag.Parse()
	debug.SetGCPercent(400)
	if err := run(*name, *most, *workers, *out, *keep); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name string, most uint64, workers int, out, keep string) error {
	p := proof.Begin("planted-bugs", "Planted bugs", "go run -tags planted ./integration/sim/plant -o docs/planted.md")
	var all []caught
	missed := 0
	for i := range planted.Bugs {
		b := &planted.Bugs[i]
		if name != "" && b.Name != name {
			continue
		}
		if err := planted.Choose(b.Name); err != nil {
			return err
		}
		c := hunt(b.Name, b.What, most, workers)
		all = append(all, c)
		if c.seed == 0 {
			missed++
			fmt.Printf("%-22s not caught within %d seeds (%.0f s)\n", c.name, most, c.seconds)
			continue
		}
		fmt.Printf("%-22s caught by seed %d, %s (%.1f s)\n", c.name, c.seed, c.text, c.seconds)
	}
	if len(all) == 0 {
		return fmt.Errorf("plant: there is no mistake called %q", name)
	}
	if keep != "" && all[0].seed != 0 {
		small := world.Shrink(world.Draw(all[0].seed), all[0].law, 3000)
		if err := os.WriteFile(keep, append(small.JSON(), '\n'), 0o644); err != nil {
			return fmt.Errorf("plant: plan: %w", err)
		}
	}
	if err := innocent(all); err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, table(all, most), 0o644); err != nil {
			return fmt.Errorf("plant: table: %w", err)
		}
	}
	if name == "" {
		if err := save(p, all, missed); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("plant: %d of %d mistakes are not caught within %d seeds", missed, len(all), most)
	}
	return nil
}

// hunt looks for the first seed that breaks a law.
func hunt(name, what string, most uint64, workers int) caught {
	c := caught{name: name, what: what}
	began := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := uint64(1)
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				enough := seed > most || c.seed != 0
				mu.Unlock()
				if enough {
					return
				}
				r := world.Run(world.Draw(seed))
				mu.Lock()
				// Seeds are taken in order, and each that is taken is run to its end: so this is the first.
				if len(r.Violations) > 0 && (c.seed == 0 || seed < c.seed) {
					v := r.Violations[0]
					c.seed, c.law, c.text = seed, v.Law, v.String()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	c.seconds = time.Since(began).Seconds()
	return c
}

// innocent runs the same seeds without any mistake: whatever breaks a law then is no catch.
func innocent(all []caught) error {
	if err := planted.Choose(""); err != nil {
		return err
	}
	seeds := map[uint64]bool{}
	for i := range all {
		seeds[all[i].seed] = true
	}
	delete(seeds, 0)
	for seed := range seeds {
		if r := world.Run(world.Draw(seed)); len(r.Violations) > 0 {
			return fmt.Errorf("plant: seed %d breaks a law without any mistake: %v", seed, r.Violations[0])
		}
	}
	return nil
}
