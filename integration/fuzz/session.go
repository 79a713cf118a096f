package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/proof"
)

// minimize is how often an input is tried while it is made smaller. Go's default is a minute for each, and
// nothing else is tried meanwhile.
const minimize = "50x"

// session is one run over all targets.
type session struct {
	each  time.Duration
	temp  string
	cache string // where Go keeps what is interesting
	print sync.Mutex
}

func newSession(ctx context.Context, root string, each time.Duration) (*session, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOCACHE")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fuzz: go env GOCACHE: %w%s", err, stderr(err))
	}
	temp, err := os.MkdirTemp("", "spoold-fuzz-")
	if err != nil {
		return nil, fmt.Errorf("fuzz: %w", err)
	}
	return &session{each: each, temp: temp, cache: filepath.Join(strings.TrimSpace(string(out)), "fuzz")}, nil
}

func (s *session) clean() { _ = os.RemoveAll(s.temp) }

// all compiles the packages one after the other, and fuzzes meanwhile what is compiled.
func (s *session) all(ctx context.Context, packages []*folder, slots int) []*result {
	var results []*result
	for _, f := range packages {
		for _, target := range f.targets {
			results = append(results, &result{folder: f, target: target})
		}
	}
	jobs := make(chan *result, len(results))
	// The compiler takes the place of a target until it is done.
	var working sync.WaitGroup
	working.Go(func() {
		done := results
		for _, f := range packages {
			err := s.compile(ctx, f)
			for _, r := range done[:len(f.targets)] {
				r.err = err
				jobs <- r
			}
			done = done[len(f.targets):]
		}
		close(jobs)
		s.work(ctx, jobs)
	})
	for range slots - 1 {
		working.Go(func() { s.work(ctx, jobs) })
	}
	working.Wait()
	return results
}

func (s *session) work(ctx context.Context, jobs <-chan *result) {
	for r := range jobs {
		if r.err == nil && ctx.Err() == nil {
			s.fuzz(ctx, r)
		}
		s.print.Lock()
		fmt.Println(r)
		s.print.Unlock()
	}
}

func (s *session) binary(f *folder) string {
	return filepath.Join(s.temp, strings.ReplaceAll(f.path, "/", "_")+".test")
}

// compile makes the test binary of a package, with the instructions that tell the fuzzer where it was.
func (s *session) compile(ctx context.Context, f *folder) error {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-fuzz=.", "-o", s.binary(f), f.path)
	cmd.Dir = f.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c %s: %w\n%s", f.path, err, out)
	}
	s.print.Lock()
	defer s.print.Unlock()
	fmt.Printf("      %-8s %s compiled\n", seconds(time.Since(began)), f)
	return nil
}

// fuzz runs one target: again and for longer where its kept inputs took all the time.
func (s *session) fuzz(ctx context.Context, r *result) {
	s.run(ctx, r, s.each)
	for more := 4; errors.Is(r.err, errNothing) && more <= 16; more *= 4 {
		s.run(ctx, r, s.each*time.Duration(more))
	}
}

func (s *session) run(ctx context.Context, r *result, each time.Duration) {
	cache := filepath.Join(s.cache, filepath.FromSlash(r.folder.path))
	if r.err = os.MkdirAll(cache, 0o777); r.err != nil {
		return
	}
	// It ends by itself; if not, its worker hangs.
	ctx, cancel := context.WithTimeout(ctx, each+2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary(r.folder), "-test.run=^$", "-test.fuzz=^"+r.target+"$", "-test.fuzztime="+each.String(),
		"-test.fuzzminimizetime="+minimize, "-test.parallel=1", "-test.fuzzcachedir="+cache)
	cmd.Dir = r.folder.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	before, began := r.inputs(), time.Now()
	r.err = cmd.Run()
	r.took = time.Since(began)
	if cmd.ProcessState != nil {
		r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	fresh := ""
	for name := range r.inputs() {
		if !before[name] {
			fresh = name
		}
	}
	r.read(out.String(), fresh)
}

// keep makes a page's part of what was run.
func keep(kept *proof.Run, results []*result, each time.Duration) {
	kept.What = fmt.Sprintf("Each target for %v, one worker each, with coverage. A violation would have been an input on which the law in the target's comment "+
		"does not hold: state machines against slow and obvious versions, decoders against what was encoded, record batches against franz-go's, both ways.", each)
	var cpu time.Duration
	for _, r := range results {
		cpu += r.cpu
		if r.failed() {
			kept.Violations++
		}
	}
	kept.Count("targets", len(results))
	kept.Count("executions", executions(results))
	kept.Say("CPU time", cpu.Round(time.Second).String())
	for _, r := range results {
		kept.Count("executions of "+r.folder.String()+"."+r.target, r.executions)
	}
	kept.NotCovered = []string{
		"fuzzing does not run goroutines, sockets or disks against each other: the simulator and the crash rigs do",
		"a page that a disk left as it was, though it said that it was written (a lost write), is not among a segment's damages",
	}
}
