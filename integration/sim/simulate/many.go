package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/spoold/spoold/integration/proof"
	"github.com/spoold/spoold/integration/sim"
	"github.com/spoold/spoold/integration/sim/world"
)

type options struct {
	seeds, workers, shrink int
	from                   uint64
	kind                   string // of kinds
}

// kinds of histories: a seed of another kind than the one that is asked for is left out.
var kinds = map[string]func(*world.Plan) bool{
	"all":          func(*world.Plan) bool { return true },
	"plain":        func(p *world.Plan) bool { return p.Cluster.Transactions == 0 && len(p.Lasting) == 0 && !small(p) },
	"files":        func(p *world.Plan) bool { return small(p) && p.Cluster.Transactions == 0 },
	"lasting":      func(p *world.Plan) bool { return len(p.Lasting) > 0 && !small(p) },
	"transactions": func(p *world.Plan) bool { return p.Cluster.Transactions > 0 },
	"staged":       func(p *world.Plan) bool { return p.Hosts[0].Piece > 0 },
}

// small reports whether the hosts have small spools in files.
func small(p *world.Plan) bool { return p.Hosts[0].Alone }

// mostBroken is how many seeds may break a law before it is enough.
const mostBroken = 5

// tally is what many runs came to.
type tally struct {
	mu      sync.Mutex
	next    uint64
	want    int
	counted int
	short   int
	records int
	kills   int
	real    int
	steps   int
	ms      int64
	parks   map[string]int
	faults  map[string]int
	broken  []uint64
}

// many runs seeds until so many histories are counted.
func many(o options) error {
	began := time.Now()
	t := &tally{next: o.from, want: o.seeds, parks: map[string]int{}, faults: map[string]int{}}
	p := proof.Begin("seeds", "A simulated world", fmt.Sprintf("go run ./integration/sim/simulate -seeds %d -from %d", o.seeds, o.from))
	show := progress(o.seeds)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(stop)
	go func() { // what is done so far counts
		if <-stop != nil {
			t.mu.Lock()
			t.want = t.counted
			t.mu.Unlock()
		}
	}()
	var wg sync.WaitGroup
	for range max(o.workers, 1) {
		wg.Go(func() {
			for {
				seed, ok := t.take()
				if !ok {
					return
				}
				plan := world.Draw(seed)
				if !kinds[o.kind](plan) {
					continue
				}
				t.put(seed, plan, world.Run(plan), show)
			}
		})
	}
	wg.Wait()
	show(t.counted, true)
	seconds := time.Since(began).Seconds()
	fmt.Printf("%s histories with %s records, %s kills and %s faults in %.0f s: %.0f a second; %s shorter ones are not counted\n",
		proof.Thousands(t.counted), proof.Thousands(t.records), proof.Thousands(t.kills), proof.Thousands(sum(t.faults)),
		seconds, float64(t.counted)/seconds, proof.Thousands(t.short))
	if err := t.keep(p, o); err != nil {
		return err
	}
	if len(t.broken) > 0 {
		return t.explain(o)
	}
	if t.counted < o.seeds {
		return fmt.Errorf("simulate: interrupted after %s of %s histories; no violation found in them", proof.Thousands(t.counted), proof.Thousands(o.seeds))
	}
	fmt.Printf("no violation found from seed %d on\n", o.from)
	return nil
}

func (t *tally) take() (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counted >= t.want || len(t.broken) >= mostBroken {
		return 0, false
	}
	t.next++
	return t.next - 1, true
}

func (t *tally) put(seed uint64, p *world.Plan, r *world.Result, show func(int, bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(r.Violations) > 0 {
		t.broken = append(t.broken, seed)
		fmt.Printf("simulate: seed %d breaks a law: %v\n", seed, r.Violations[0]) // the rest when all is done, which may take an hour
	}
	if !r.Whole() {
		t.short++
		return
	}
	if t.counted >= t.want {
		return // another worker had the last one
	}
	t.counted++
	t.records += r.Records
	t.kills += r.Kills
	t.steps += r.Steps
	t.ms += r.Ms
	for _, h := range p.Hosts {
		if h.Real {
			t.real++
			break
		}
	}
	for k, n := range r.Faults {
		t.faults[k] += n
	}
	for k, n := range r.Parks {
		t.parks[k] += n
	}
	show(t.counted, false)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// progress is a bar on a terminal, and a line every ten seconds elsewhere.
func progress(all int) func(done int, last bool) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		bar := progressbar.NewOptions(all, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("histories"), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionClearOnFinish())
		return func(done int, last bool) {
			_ = bar.Set(done)
			if last {
				_ = bar.Finish()
			}
		}
	}
	began, told := time.Now(), time.Now()
	return func(done int, last bool) {
		if time.Since(told) < 10*time.Second || last {
			return
		}
		told = time.Now()
		fmt.Fprintf(os.Stderr, "simulate: %s of %s histories, %.0f a second\n", proof.Thousands(done), proof.Thousands(all), float64(done)/time.Since(began).Seconds())
	}
}

// explain reports the first seeds that broke a law, and makes a smaller plan of the first.
func (t *tally) explain(o options) error {
	first := world.Draw(t.broken[0])
	r := world.Run(first)
	fmt.Println(sim.Report(first, r, sim.Again(t.broken[0])))
	if o.shrink > 0 && len(r.Violations) > 0 {
		law := r.Violations[0].Law
		small := world.Shrink(first, law, o.shrink)
		name := fmt.Sprintf("seed-%d.json", t.broken[0])
		if err := os.WriteFile(name, append(small.JSON(), '\n'), 0o644); err != nil {
			return fmt.Errorf("simulate: smaller plan: %w", err)
		}
		fmt.Printf("a plan with %d faults instead of %d breaks %s, too: go run ./integration/sim/simulate -plan %s -trace\n",
			len(small.Faults), len(first.Faults), law, name)
	}
	return fmt.Errorf("simulate: a law is broken by seeds %v", t.broken)
}
