//go:build crash

package soak

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/proof"
)

// figures are what the report is made of, besides the book's counts and the watch's peaks. They belong to
// the goroutine that has the daemon.
type figures struct {
	epochBegan time.Time

	requests, again, refused, bytes int64
	broken                          link.Counts
	replayed                        int
	sum                             crash.Verdict // over all topics

	outageRecords uint64 // the largest backlog at the end of an outage
	outageBytes   int64
	awayCPU       float64 // highest share of a core while nobody could be reached

	rests         int
	slowestDrain  time.Duration
	slowestWas    string
	idleFor       time.Duration
	longestUnrest time.Duration // until nothing was written any more
	idleCPU       float64
	idleOpen      int
}

func (f *figures) backlog(st crash.Status) {
	f.outageRecords, f.outageBytes = max(f.outageRecords, st.Pending), max(f.outageBytes, st.SpoolBytes)
}

func (f *figures) drained(d time.Duration, records uint64, bytes int64) {
	if d >= f.slowestDrain {
		f.slowestDrain, f.slowestWas = d, fmt.Sprintf("%.1f s for %s records, %d MiB", d.Seconds(), proof.Thousands(int(records)), bytes>>20)
	}
}

func (f *figures) rested(idle, unrest time.Duration, cpu float64, open int) {
	f.rests++
	f.idleFor += idle
	f.longestUnrest, f.idleCPU, f.idleOpen = max(f.longestUnrest, unrest), max(f.idleCPU, cpu), max(f.idleOpen, open)
}

func (f *figures) verdict(v *crash.Verdict) {
	f.sum.Records += v.Records
	f.sum.Lost += v.Lost
	f.sum.Duplicated += v.Duplicated
	f.sum.Reordered += v.Reordered
	f.sum.Changed += v.Changed
	f.sum.Strayed += v.Strayed
}

func (r *rig) elapsed() string {
	d := time.Since(r.began).Round(time.Second)
	return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// progress says every few seconds how far the run is.
func (r *rig) progress(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, st := r.watch.Latest()
		now := s.Trouble
		if now == "" {
			now = "none"
		}
		anon := int64(0)
		if s.Use != nil {
			anon = s.Use.Anon
		}
		fmt.Printf("%8s  accepted %s, acked %s, pending %s (%d MiB), memory %d MiB, %d kills, %d of brokers; trouble now: %s\n", r.elapsed(),
			proof.Thousands(int(st.Accepted)), proof.Thousands(int(st.Acked)), proof.Thousands(int(st.Pending)), st.SpoolBytes>>20, anon>>20,
			r.book.Count(Kill), r.book.Count(BrokerKill), now)
	}
}

// enough says whether the run proves anything: each kind of trouble happened, and had an effect. A long run needs about a
// quarter of an hour for that. One that was interrupted only says that it was.
func (r *rig) enough() {
	if r.interrupted.Err() != nil {
		r.proof.Notes = append(r.proof.Notes, "It was interrupted before its time.")
		return
	}
	for _, k := range titles {
		if k.kind == EarlyKill || k.kind == BrokerRolling && !r.long {
			continue
		}
		if r.book.Count(k.kind) == 0 {
			r.t.Errorf("%q never happened: this run proves too little", k.title)
		}
	}
	f := &r.figure
	if f.broken.Total() == 0 || f.refused == 0 || r.killer.InDoubt == 0 || f.sum.Records == 0 {
		r.t.Errorf("%d requests were broken, %d refused, %d starts found batches in doubt, %d records were read back: this run proves too little",
			f.broken.Total(), f.refused, r.killer.InDoubt, f.sum.Records)
	}
}

// report prints what the run was, and keeps it if that is wanted. It does so, too, when a violation was found.
func (r *rig) report() {
	f, p, run := &r.figure, r.watch.Peaks(), r.proof
	run.What = fmt.Sprintf("`spoold serve` with %d HTTP clients that insist with an `Idempotency-Key`, on an ext4 file system of 1 GiB, and %d brokers of Apache Kafka "+
		"4.3.1, each behind a link and a proxy that knows requests. A violation would be: a record that is lost, doubled, reordered, changed or parked; counters that do "+
		"not add up or go back; memory, descriptors, threads or disk over a limit; a backlog that does not drain; a daemon that is busy or writes with nothing to do.",
		r.clients(), r.cluster.Brokers())
	run.Count("records read back and compared", f.sum.Records)
	run.Count("megabytes of them, about", int(f.bytes/4*3/1_000_000))
	run.Count("requests answered", int(f.requests))
	run.Count("requests asked again with their key", int(f.again))
	run.Count("refusals (429) on a full disk", int(f.refused))
	run.Count("SIGKILL of the daemon", r.killer.Kills)
	run.Count("starts that found batches in doubt", r.killer.InDoubt)
	run.Count("SIGKILL of a broker", r.book.Count(BrokerKill))
	run.Count("requests or answers broken by proxies", f.broken.Total())
	run.Count("former requests that arrived once more at the end of an epoch", f.replayed)
	run.Say("time in outages", fmt.Sprintf("%.0f s", r.book.Seconds(LinkRefuses)+r.book.Seconds(LinkHangs)))
	run.Say("largest backlog", fmt.Sprintf("%s records, %d MiB, the oldest %.0f s old", proof.Thousands(int(p.Pending)), p.SpoolBytes>>20, p.Oldest))
	run.Say("slowest drain after trouble", f.slowestWas)
	run.Say("longest from a broker's trouble until all replicas were in sync", fmt.Sprintf("%.0f s", time.Duration(r.returned.Load()).Seconds()))
	run.Say("anonymous memory, peak of limit", fmt.Sprintf("%d of %d MiB", p.Anon>>20, p.Limits.Anon>>20))
	run.Say("mapped files, peak", fmt.Sprintf("%d MiB", p.File>>20))
	run.Say("the spool's files, peak of limit", fmt.Sprintf("%d of %d MiB", p.Disk>>20, p.Limits.Disk>>20))
	run.Say("descriptors, peak of limit; at rest", fmt.Sprintf("%d of %d; %d", p.Descriptors, p.Limits.Descriptors, f.idleOpen))
	run.Say("threads, peak of limit", fmt.Sprintf("%d of %d", p.Threads, p.Limits.Threads))
	run.Count("idempotency keys remembered, peak", p.Keys)
	run.Say("time with nothing to do and not a byte written", fmt.Sprintf("%.0f s in %d rests; it came %.1f s after the drain at the latest", f.idleFor.Seconds(), f.rests, f.longestUnrest.Seconds()))
	run.Say("CPU with nothing to do, and with nobody to reach, at most", fmt.Sprintf("%.1f %% and %.1f %% of a core", 100*f.idleCPU, 100*f.awayCPU))
	run.Count("samples, each held against all limits", p.Samples)
	for _, k := range titles {
		run.Inject(k.title, r.book.Count(k.kind))
	}
	run.NotCovered = []string{
		"more than one broker down at a time", "unclean leader elections", "a daemon and brokers on different machines",
	}
	r.onlookers.report(r)
	if r.t.Failed() {
		run.Violations = max(1, f.sum.Lost+f.sum.Duplicated+f.sum.Reordered+f.sum.Changed+f.sum.Strayed)
	}
	r.t.Logf("%v\nproxies: %v\n%v\ntrouble:%s", &f.sum, f.broken, r.killer, r.book.Table())
	for _, n := range run.Notes {
		r.t.Log(n)
	}
	for _, n := range run.Numbers {
		r.t.Logf("%s: %s", n.Name, n.Value)
	}
	if proof.Wanted() {
		if err := r.picture(); err != nil {
			r.t.Error(err)
		}
		run.Notes = append(run.Notes, "Backlog, memory, descriptors, disk and trouble over time: ![the run over time](proof/soak.png)")
	}
	if err := run.Save(r.root); err != nil {
		r.t.Error(err)
	}
}

// picture draws what was written down.
func (r *rig) picture() error {
	to := filepath.Join(r.root, "docs", "proof")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("soak: picture: %w", err)
	}
	in, err := filepath.Abs(r.out)
	if err != nil {
		return fmt.Errorf("soak: picture: %w", err)
	}
	cmd := exec.Command("go", "run", ".", "-in", in, "-out", filepath.Join(to, "soak.png"))
	cmd.Dir = filepath.Join(r.root, "integration", "plot")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("soak: picture: %w\n%s", err, out)
	}
	return nil
}
