//go:build crash

package chaos_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/proc"
	"github.com/spoold/spoold/integration/proof"
)

func TestAProgramKilledAgainAndAgainInChaosLosesDoublesReordersAndChangesNothing(t *testing.T) {
	r := newRig(t, 1, 24)
	r.programs(period(t, 15*time.Second), func(life int) {
		if life%4 == 2 {
			r.killLeader()
		}
	})
}

func TestAProgramKilledInChaosWhileLeadersAreKilledLosesDoublesReordersAndChangesNothing(t *testing.T) {
	r := newRig(t, 3, 24)
	r.programs(period(t, 20*time.Second), func(life int) {
		switch {
		case life%12 == 7:
			r.roll()
		case life%4 == 2:
			r.killLeader()
		}
	})
}

// programs lets one program after the other live on the same spool, in the storm. trouble
// is made while a life goes on. The last life is in this process, and delivers what is left.
func (r *rig) programs(d time.Duration, trouble func(life int)) {
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
	lives := 0
	r.under(d, func() {
		for began := time.Now(); time.Since(began) < d; lives++ {
			r.live(bin, filepath.Join(dir, "spool"), lives, trouble)
		}
	})
	for c := range r.ledger.Clients() {
		if !crash.Keyless(c) {
			r.ledger.GaveUp(c) // under way when the last life ended: there, or not
		}
	}
	r.t.Logf("%d lives ended by SIGKILL; of them and by starts: %v", lives, r.trace.how)
	p := r.open(filepath.Join(dir, "spool"))
	r.drain(p)
	r.stop(p)
	r.finish()
}

// live runs the program for a while and kills it.
func (r *rig) live(bin, spool string, number int, trouble func(int)) {
	r.t.Helper()
	args := []string{r.cluster.Bootstrap(), spool, r.topic, strconv.FormatUint(r.seed, 10), "200"}
	for c := range r.ledger.Clients() {
		args = append(args, strconv.Itoa(r.ledger.Next(c)))
	}
	out, w, err := os.Pipe()
	r.must(err)
	cmd := exec.Command(bin, args...)
	var set []string
	for k, v := range settings {
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
	span := between(r.rand, 0, 3*time.Second)
	if number%5 == 4 {
		span = between(r.rand, 0, 300*time.Millisecond) // while it recovers
	}
	r.trace.add("test: life " + strconv.Itoa(number) + " begins")
	r.pause(span)
	trouble(number)
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
		if crash.Keyless(c) {
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
		r.trace.add("program: " + strconv.Itoa(n) + " batches in doubt at its start")
		who = "starts with doubt"
		n = min(n, 1)
	}
	if n > 0 {
		r.trace.count(&r.trace.how, who, n)
	}
}
