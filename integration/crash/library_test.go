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
func TestNothingIsLostDoubledOrReorderedWhenAProgramWithTheLibraryIsKilled(t *testing.T) {
	r := newRig(t, setup{brokers: 1, clients: 32})
	dir := t.TempDir()
	root, err := proof.Root()
	r.must(err)
	bin := filepath.Join(dir, "libprog")
	build := exec.CommandContext(r.ctx, "go", "build", "-o", bin, "./integration/crash/libprog")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build libprog: %v\n%s", err, out)
	}
	lives := max(4, *kills/5)
	for i := range lives {
		life := r.between(0, 1500*time.Millisecond)
		if i%5 == 4 {
			life = r.between(0, 200*time.Millisecond)
		}
		r.live(bin, filepath.Join(dir, "spool"), life)
	}
	// What the last life had under way is there or not: nobody asks again, key or no key.
	for c := range r.ledger.Clients() {
		if !Keyless(c) {
			r.ledger.GaveUp(c)
		}
	}
	sent, unanswered := r.ledger.Total()
	t.Logf("%d lives, %d records, %d of them never answered and not sent again; %d starts found batches in doubt",
		lives, sent, unanswered, r.killer.InDoubt)
	// A last life delivers what the others left: the daemon, on the same spool.
	r.daemon.args = append(r.daemon.args, "--spool", filepath.Join(dir, "spool"))
	r.start()
	r.drain(2 * time.Minute)
	r.must(r.daemon.Stop())
	r.compare()
}

// live runs the program for so long and kills it.
func (r *rig) live(bin, spool string, d time.Duration) {
	r.t.Helper()
	args := []string{r.cluster.Bootstrap(), spool, r.topic, strconv.FormatUint(r.seed, 10), strconv.Itoa(r.ledger.size)}
	for c := range r.ledger.Clients() {
		args = append(args, strconv.Itoa(r.ledger.Next(c)))
	}
	out, w, err := os.Pipe()
	r.must(err)
	cmd := exec.Command(bin, args...)
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
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.Done():
		r.t.Fatalf("the program ended by itself: %v\n%s", p.Err(), faults.String())
	}
	r.must(p.Kill())
	<-heard
	for c := range r.ledger.Clients() {
		if Keyless(c) {
			r.ledger.GaveUp(c)
		}
	}
}

func (r *rig) hear(line string) {
	who, what, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(what)
	if err != nil {
		return // the last line, cut off by the kill
	}
	if who == "recovery" {
		if n > 0 {
			r.killer.InDoubt++
		}
		return
	}
	if client, err := strconv.Atoi(who); err == nil {
		r.ledger.Answered(client, n)
	}
}
