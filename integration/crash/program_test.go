//go:build crash

package crash

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/proc"
	"github.com/spoold/spoold/integration/proof"
)

// The same promise for a program that has the library in it: what it was told is
// spooled before it died is delivered by its next life, once and in order.
func TestProgramWithTheLibraryKilledUnderLoad(t *testing.T) {
	r := newRig(t, setup{brokers: 1, clients: 32})
	r.programs(func(live func(number int, d time.Duration, trouble func())) {
		for i := range max(4, *kills/5) {
			life := r.between(0, 1500*time.Millisecond)
			if i%5 == 4 {
				life = r.between(0, 200*time.Millisecond)
			}
			live(i, life, func() {})
		}
	})
}

func TestProgramKilledWhileItsRequestsToOneBrokerAreBroken(t *testing.T) {
	r := newRig(t, setup{brokers: 1, clients: 24, keys: impatient})
	r.programsInStorm(func(life int) {
		if life%4 == 2 {
			r.failOver(r.rand.Int32N(partitions))
		}
	})
}

func TestProgramKilledWhileRequestsAreBrokenAndLeadersKilled(t *testing.T) {
	r := newRig(t, setup{brokers: 3, clients: 24, keys: impatient})
	r.programsInStorm(func(life int) {
		switch {
		case life%12 == 7:
			r.roll()
		case life%4 == 2:
			r.failOver(r.rand.Int32N(partitions))
		}
	})
}

func (r *rig) programsInStorm(trouble func(life int)) {
	r.t.Helper()
	r.programs(func(live func(int, time.Duration, func())) {
		r.storm(func() {
			for began, i := time.Now(), 0; time.Since(began) < *storm; i++ {
				life := r.between(0, 3*time.Second)
				if i%5 == 4 {
					life = r.between(0, 300*time.Millisecond) // while it recovers
				}
				live(i, life, func() { trouble(i) })
			}
		})
	})
}

// programs lets one program after the other live on the same spool, each for a while and then killed. The last life is in
// this process, and delivers what is left.
func (r *rig) programs(lives func(live func(number int, d time.Duration, trouble func()))) {
	r.t.Helper()
	dir := r.t.TempDir()
	root, err := proof.Root()
	r.must(err)
	bin := filepath.Join(dir, "libprog")
	build := exec.CommandContext(r.ctx, "go", "build", "-o", bin, "./integration/crash/libprog")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		r.t.Fatalf("build libprog: %v\n%s", err, out)
	}
	spool := filepath.Join(dir, "spool")
	n := 0
	lives(func(number int, d time.Duration, trouble func()) {
		n++
		r.live(bin, spool, number, d, trouble)
	})
	// What the last life had under way is there or not: nobody asks again, key or no key.
	for c := range r.ledger.Clients() {
		if !Keyless(c) {
			r.ledger.GaveUp(c)
		}
	}
	r.t.Logf("%d lives; %d starts found batches in doubt", n, r.killer.InDoubt)
	r.last(r.open(spool))
}

// live runs the program for so long and while trouble is made, and kills it.
func (r *rig) live(bin, spool string, number int, d time.Duration, trouble func()) {
	r.t.Helper()
	args := []string{r.cluster.Bootstrap(), spool, r.topic, strconv.FormatUint(r.seed, 10), strconv.Itoa(r.ledger.size)}
	for c := range r.ledger.Clients() {
		args = append(args, strconv.Itoa(r.ledger.Next(c)))
	}
	out, w, err := os.Pipe()
	r.must(err)
	cmd := exec.Command(bin, args...)
	var set []string
	for k, v := range r.keys {
		set = append(set, k+"="+v)
	}
	cmd.Env = append(os.Environ(), "LIBPROG_SET="+strings.Join(set, " "))
	var faults strings.Builder
	cmd.Stdout, cmd.Stderr = w, &faults
	p, err := proc.Start(cmd)
	_ = w.Close() // the child has its own
	r.must(err)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer func() { _ = out.Close() }() // read to its end
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.hear(lines.Text())
		}
	}()
	r.trace.add("test: life " + strconv.Itoa(number) + " begins")
	r.wait(d)
	trouble()
	if !p.Running() {
		r.t.Fatalf("the program ended by itself: %v\n%s", p.Err(), faults.String())
	}
	r.must(p.Kill())
	<-heard
	r.trace.add("test: life " + strconv.Itoa(number) + " ends")
	if strings.Contains(faults.String(), "parked") {
		r.t.Fatal(faults.String())
	}
	for c := range r.ledger.Clients() {
		if Keyless(c) {
			r.ledger.GaveUp(c)
		}
	}
}

// hear counts what the program says.
func (r *rig) hear(line string) {
	who, what, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(what)
	if err != nil {
		return // the last line, cut off by the kill
	}
	if client, err := strconv.Atoi(who); err == nil {
		r.ledger.Answered(client, n)
		return
	}
	if who == "recovery" {
		r.trace.add("program: " + what + " batches in doubt at its start")
		if n > 0 {
			r.killer.InDoubt++
		}
		return
	}
	r.trace.count("program: settled by "+who, n)
}
