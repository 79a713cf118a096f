package crashstates

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spoold/spoold/spool/bolt"
)

// WorkloadMain does what Record asks for in the environment, and reports whether there was
// anything. A program that Record is given calls it first.
func WorkloadMain() bool {
	dir := os.Getenv(envDir)
	if dir == "" {
		return false
	}
	life := os.Getenv(envLife)
	var err error
	if life != "" {
		err = liveOnce(dir, life)
	} else {
		err = liveAll(os.Getenv(envLives))
	}
	if err != nil {
		exit(err, life)
	}
	return true
}

// How a life ends that is to end by a sync that fails.
const (
	exitFailed        = 3
	exitNothingFailed = 4
)

// exit ends the process, at once: what a process does after an error of the disk is to be as little as the daemon does.
func exit(err error, life string) {
	if strings.HasSuffix(life, "e") && errors.Is(err, syscall.EIO) {
		os.Exit(exitFailed)
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, ErrNothingFailed) {
		os.Exit(exitNothingFailed)
	}
	os.Exit(1)
}

// liveAll runs one process after the other.
func liveAll(lives string) error {
	for life := range strings.SplitSeq(lives, ",") {
		cmd := exec.CommandContext(context.Background(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), envLife+"="+life)
		cmd.Stderr = os.Stderr
		err := cmd.Run()
		if cmd.ProcessState == nil {
			return fmt.Errorf("crashstates: life %s: %w", life, err)
		}
		code := cmd.ProcessState.ExitCode() // -1: a signal
		due := map[string]int{"k": -1, "e": exitFailed}[life[len(life)-1:]]
		switch {
		case code == due:
		case code == exitNothingFailed:
			return ErrNothingFailed
		default:
			return fmt.Errorf("crashstates: life %s ended with code %d, not %d", life, code, due)
		}
	}
	return nil
}

// worker is one life of the workload.
type worker struct {
	life    string
	script  Script
	h       *History
	s       *bolt.Store
	marks   *os.File
	rng     *rand.Rand
	tickets []bolt.Tickets // not waited for yet
	writes  chan uint64
}

func liveOnce(dir, life string) error {
	steps, err := strconv.Atoi(strings.TrimRight(life, "ke"))
	if err != nil {
		return err
	}
	script, err := parseScript(os.Getenv(envScript))
	if err != nil {
		return err
	}
	w := &worker{life: life, script: script, h: NewHistory(script), writes: make(chan uint64, 1)}
	raw, err := os.ReadFile(filepath.Join(dir, "marks"))
	if err != nil {
		return err
	}
	for mark := range strings.Lines(string(raw)) {
		if err := w.h.Take(mark); err != nil {
			return err
		}
	}
	if w.marks, err = os.OpenFile(filepath.Join(dir, "marks"), os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return err
	}
	o := script.options(filepath.Join(dir, "spool"))
	o.Adopt = true // a state that was built has another lock file
	s, r, err := bolt.Open(o)
	if err != nil {
		return err
	}
	w.s = s
	go w.receive()
	n, err := w.h.Find(s, r)
	if err != nil {
		return err
	}
	w.rng = rand.New(rand.NewPCG(script.Seed, uint64(w.h.begun)<<32))
	w.mark("r %d %d %d %s\n", n, w.h.begun+1, r.Incarnation, r.SpoolID)
	w.h.Resume(n)
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	if strings.HasSuffix(life, "k") {
		time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Microsecond) // anywhere in the commit of the last step
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {}
	}
	if err := w.settle(); err != nil {
		return err
	}
	if err := s.Close(context.Background()); err != nil {
		return err
	}
	if strings.HasSuffix(life, "e") {
		return ErrNothingFailed
	}
	return nil
}

// receive tells what Write was last made durable.
func (w *worker) receive() {
	for c := range w.s.Commits() {
		c.Release()
		if c.Err != nil {
			exit(fmt.Errorf("crashstates: commit: %w", c.Err), w.life)
		}
		if c.Writes > 0 {
			w.writes <- c.Writes
		}
	}
}

func (w *worker) mark(format string, args ...any) {
	if _, err := fmt.Fprintf(w.marks, format, args...); err != nil {
		panic(err)
	}
}

// step does the next step. Batches are not waited for each time.
func (w *worker) step() error {
	n, st := w.h.Begin()
	if st.Write != nil {
		if err := w.settle(); err != nil { // it speaks of records of former steps
			return err
		}
		w.mark("d %d\n", n-1)
	}
	w.mark("b %d\n", n)
	if st.Write != nil {
		st.Write.ID = uint64(n)
		w.s.Submit(st.Write, w.rng.IntN(3) > 0)
		for <-w.writes != uint64(n) {
		}
		w.mark("d %d\n", n)
		return nil
	}
	t, err := w.append(st)
	if err != nil {
		return err
	}
	w.tickets = append(w.tickets, t)
	if w.rng.IntN(w.script.taste().together) > 0 {
		if err := w.settle(); err != nil {
			return err
		}
		w.mark("d %d\n", n)
	}
	return nil
}

func (w *worker) append(st Step) (bolt.Tickets, error) {
	if !st.Staged {
		return w.s.AppendBatch(context.Background(), st.Batch)
	}
	u := bolt.BeginUnit(w.s)
	for i := range st.Batch.Records {
		if err := u.Stage(context.Background(), st.Batch.Records[i:i+1]); err != nil {
			return bolt.Tickets{}, err
		}
	}
	return u.Commit(context.Background(), st.Batch.Notes)
}

// settle waits for the batches.
func (w *worker) settle() error {
	for _, t := range w.tickets {
		if err := t.Spooled(context.Background()); err != nil {
			return err
		}
	}
	w.tickets = nil
	return nil
}
