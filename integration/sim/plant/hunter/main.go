package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/spoold/spoold/integration/sim/plant/find"
	"github.com/spoold/spoold/integration/sim/world"
)

func main() {
	var disks find.Disks
	from := flag.Uint64("from", 1, "the first seed")
	to := flag.Uint64("to", 10_000, "the last seed")
	flag.TextVar(&disks, "disks", find.AsDrawn, "what hosts have: drawn, bolt or compared")
	transactions := flag.Bool("transactions", false, "try the histories whose hosts have a transactional id, and no others; else those are left out")
	keep := flag.String("keep", "", "write a smaller plan that breaks the same law to this `file`")
	workers := flag.Int("workers", runtime.NumCPU(), "how many seeds at a time")
	flag.Parse()
	debug.SetGCPercent(3200) // runs are short, keep little and make much garbage
	f := first(disks, *transactions, *from, *to, *workers)
	if err := write(f, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "hunter:", err)
		os.Exit(1)
	}
}

func write(f find.Find, keep string) error {
	if keep != "" && f.Seed != 0 {
		small := world.Shrink(plan(f.Seed, f.Disks), f.Law, 3000)
		if err := os.WriteFile(keep, append(small.JSON(), '\n'), 0o600); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// plan is a seed's plan, on these disks.
func plan(seed uint64, on find.Disks) *world.Plan {
	if p := world.Draw(seed); on != find.AsDrawn {
		return p.OnFiles(on == find.Bolt)
	}
	return world.Draw(seed)
}

// first is the first seed that breaks a law. Seeds are taken in order, and each that is taken is run to its end.
func first(on find.Disks, transactions bool, next, to uint64, workers int) find.Find {
	f := find.Find{Disks: on}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				enough := seed > to || f.Seed != 0
				mu.Unlock()
				if enough {
					return
				}
				drawn := plan(seed, on)
				if (drawn.Cluster.Transactions > 0) != transactions {
					continue
				}
				r := world.Run(drawn)
				mu.Lock()
				if len(r.Violations) > 0 && (f.Seed == 0 || seed < f.Seed) {
					v := r.Violations[0]
					f.Seed, f.Law, f.Text = seed, v.Law, v.String()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return f
}
