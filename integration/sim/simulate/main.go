package main

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spoold/spoold/integration/sim"
	"github.com/spoold/spoold/integration/sim/world"
)

func main() {
	o := options{}
	flag.IntVar(&o.seeds, "seeds", 10_000, "how many histories")
	flag.Uint64Var(&o.from, "from", 1, "the first seed")
	fresh := flag.String("fresh", "", "derive the first seed from this `text`")
	flag.StringVar(&o.kind, "kind", "all", "of histories: all, transactions (hosts have a transactional id), lasting (a topic has trouble that outlasts all faults), plain (neither), files (hosts have small spools in files), or staged (transactions that go to the disk in pieces)")
	flag.IntVar(&o.workers, "workers", runtime.NumCPU(), "how many at a time")
	flag.IntVar(&o.shrink, "shrink", 2000, "how many plans to try for a smaller one when a law is broken")
	seed := flag.Uint64("seed", 0, "run this seed alone")
	file := flag.String("plan", "", "run the plan in this `file` alone")
	trace := flag.Bool("trace", false, "with -seed or -plan: print all that happens")
	flag.Parse()
	debug.SetGCPercent(3200) // runs are short, keep little and make much garbage
	var err error
	switch {
	case flag.NArg() > 0:
		err = fmt.Errorf("simulate: want no arguments, got %q", flag.Args())
	case kinds[o.kind] == nil:
		err = fmt.Errorf("simulate: -kind is %q, want all, plain, lasting, files, staged or transactions", o.kind)
	case *file != "":
		err = one(*file, *trace)
	case *seed != 0: // whichever kind it is
		err = run(world.Draw(*seed), sim.Again(*seed), *trace)
	default:
		if *fresh != "" {
			o.from = seedOf(*fresh)
		}
		err = many(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// seedOf is where a text leads: far from all others.
func seedOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()>>1 | 1<<40
}

func one(file string, trace bool) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("simulate: plan: %w", err)
	}
	p, err := world.ReadPlan(raw)
	if err != nil {
		return fmt.Errorf("simulate: %s: %w", file, err)
	}
	return run(p, "go run ./integration/sim/simulate -plan "+file+" -trace", trace)
}

// run carries one plan out.
func run(p *world.Plan, again string, trace bool) error {
	r := (*world.Result)(nil)
	if trace {
		r = world.RunTraced(p, func(line string) { fmt.Println(line) })
	} else {
		r = world.Run(p)
	}
	fmt.Printf("%d records, %d kills, %d steps, %d ms of simulated time, faults %v, parked %v\n", r.Records, r.Kills, r.Steps, r.Ms, r.Faults, r.Parks)
	if len(r.Violations) > 0 {
		return fmt.Errorf("%s", sim.Report(p, r, again))
	}
	return nil
}
