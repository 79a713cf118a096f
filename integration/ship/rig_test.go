//go:build crash

package ship

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/cmd/spoold/producers"
	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/proc"
)

var (
	kills = flag.Int("kills", 10, "how often ship is killed, and about how often produce -l is")
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the run")
	logs  = flag.Int("logs", 3, "how many logs are written")
)

// rig is a broker, the program, and a directory for logs and spool.
type rig struct {
	t      *testing.T
	rng    *rand.Rand
	binary string
	dir    string
	broker string
}

func newRig(t *testing.T) *rig {
	t.Logf("seed %d; again: go test -tags crash -count=1 -v ./integration/ship -run %s -seed %d -kills %d -logs %d", *seed, t.Name(), *seed, *kills, *logs)
	r := &rig{t: t, rng: rand.New(rand.NewPCG(*seed, 0)), dir: t.TempDir()}
	var err error
	if r.binary, err = crash.Build(t.Context(), "../..", r.dir); err != nil {
		t.Fatal(err)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	producers.Describe(c)
	r.broker = c.ListenAddrs()[0]
	return r
}

// start runs the program with the flags that every run has.
func (r *rig) start(args ...string) *proc.Process {
	r.t.Helper()
	cmd := exec.Command(r.binary, append(args, "-b", r.broker, "-X", "spool.min.free.bytes=1MiB", "-X", "spool.segment.bytes=1MiB")...)
	out, err := os.OpenFile(filepath.Join(r.dir, args[0]+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	p, err := proc.Start(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// killed lets p run for a moment.
func (r *rig) killed(p *proc.Process, most time.Duration) {
	r.t.Helper()
	select {
	case <-p.Done():
	case <-time.After(time.Duration(r.rng.Int64N(int64(most)))):
	}
	if err := p.Kill(); err != nil {
		r.t.Fatal(err)
	}
}

// read is the whole topic, which has one partition.
func (r *rig) read(topic string, want int) []string {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	var got []string
	for quiet := 0; quiet < 3 && ctx.Err() == nil; {
		poll, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		n := len(got)
		cl.PollFetches(poll).EachRecord(func(rec *kgo.Record) { got = append(got, string(rec.Value)) })
		stop()
		if len(got) >= want && len(got) == n {
			quiet++ // one that is there twice comes now
		}
	}
	return got
}

// compare checks that the values of one log are its lines, each once, in order.
func (r *rig) compare(w *Writer, got []string) {
	r.t.Helper()
	seen := make(map[int]int)
	lost, doubled, disorder, foreign, last := 0, 0, 0, 0, -1
	first := ""
	for _, v := range got {
		if !strings.HasPrefix(v, w.name+" ") {
			continue
		}
		n := -1
		if _, err := fmt.Sscanf(v[len(w.name):], "%d", &n); err != nil || n < 0 || n >= w.Lines() || v != w.Line(n) {
			foreign++
			continue
		}
		seen[n]++
		if n != last+1 {
			disorder++
			if first == "" {
				first = fmt.Sprintf("line %d follows line %d", n, last)
			}
		}
		last = n
	}
	for n := range w.Lines() {
		lost += boolInt(seen[n] == 0)
		doubled += max(0, seen[n]-1)
	}
	if lost+doubled+disorder+foreign > 0 {
		log, err := os.ReadFile(filepath.Join(r.dir, "ship.log"))
		keep := filepath.Join(os.TempDir(), "spoold-ship-rig.log")
		r.t.Errorf("%s: of %d lines %d are lost, %d doubled, %d cut; order is broken %d times (%s); the log is in %s (%v)",
			w.name, w.Lines(), lost, doubled, foreign, disorder, first, keep, errors.Join(err, os.WriteFile(keep, log, 0o600)))
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestShipDeliversEachLineOnceThroughKillsAndRotation(t *testing.T) {
	r := newRig(t)
	dir, behind := filepath.Join(r.dir, "logs"), filepath.Join(r.dir, "behind")
	for _, d := range []string{dir, behind} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var writers []*Writer
	for i := range *logs {
		name, at := fmt.Sprintf("app%c.log", 'a'+i), dir
		if i%2 == 1 { // is followed through a symbolic link, and rotated beside its target
			at = behind
			if err := os.Symlink(filepath.Join(behind, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		writers = append(writers, NewWriter(at, name, *seed+uint64(i)))
	}
	args := []string{"ship", "-t", "audit", "--spool", filepath.Join(r.dir, "spool"), "--quiet", "500ms", "--poll", "100ms", filepath.Join(dir, "*.log")}
	// Rotated files that are there before a log is followed for the first time are not read.
	if first := r.start(append(args, "--once")...); first.ExitCode() != 0 {
		t.Fatalf("the first run ended with code %d", first.ExitCode())
	}
	p := r.start(args...)
	stop, ended := make(chan struct{}), make(chan error, len(writers))
	for _, w := range writers {
		go func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					ended <- w.Finish()
					return
				case <-tick.C:
					if err := w.Step(); err != nil {
						ended <- err
						return
					}
				}
			}
		}()
	}
	for range *kills {
		r.killed(p, 600*time.Millisecond)
		p = r.start(args...)
	}
	close(stop)
	total := 0
	for range writers {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if p = r.start(append(args, "--once")...); p.ExitCode() != 0 {
		t.Fatalf("the last run ended with code %d", p.ExitCode())
	}
	renames, copies, gzips := 0, 0, 0
	for _, w := range writers {
		total += w.Lines()
		renames, copies, gzips = renames+w.Renames, copies+w.Copies, gzips+w.Gzips
	}
	got := r.read("audit", total)
	for _, w := range writers {
		r.compare(w, got)
	}
	if len(got) != total {
		t.Errorf("%d records of %d lines", len(got), total)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d kills; %d lines in %d logs; %d rotations by rename, %d by copytruncate, %d compressed: 0 lost, 0 doubled, in order", *kills, total, len(writers), renames, copies, gzips)
}

func TestProduceDeliversAFileOnceThroughKills(t *testing.T) {
	r := newRig(t)
	w := NewWriter(r.dir, "file", *seed)
	w.short = true
	for w.Lines() < 300_000 {
		if err := w.append(5000); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	args := []string{"produce", "-t", "file", "--spool", filepath.Join(r.dir, "spool"), "-l", filepath.Join(r.dir, "file")}
	killed := 0
	for range *kills {
		p := r.start(args...)
		r.killed(p, 300*time.Millisecond)
		if p.ExitCode() == -1 {
			killed++
		}
	}
	if p := r.start(args...); p.ExitCode() != 0 {
		t.Fatalf("the last run ended with code %d", p.ExitCode())
	}
	got := r.read("file", w.Lines())
	r.compare(w, got)
	if len(got) != w.Lines() {
		t.Errorf("%d records of %d lines", len(got), w.Lines())
	}
	if killed == 0 {
		t.Error("no run was killed before its end: nothing is shown")
	}
	if t.Failed() {
		return
	}
	t.Logf("%d kills; %d lines: 0 lost, 0 doubled, in order", killed, w.Lines())
}
