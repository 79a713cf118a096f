package crashstates

import (
	"context"
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
	var err error
	if life := os.Getenv(envLife); life != "" {
		err = liveOnce(dir, life)
	} else {
		err = liveAll(os.Getenv(envLives))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// liveAll runs one process after the other.
func liveAll(lives string) error {
	for life := range strings.SplitSeq(lives, ",") {
		cmd := exec.CommandContext(context.Background(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), envLife+"="+life)
		cmd.Stderr = os.Stderr
		err := cmd.Run()
		if killed := cmd.ProcessState != nil && !cmd.ProcessState.Exited(); err != nil && (!killed || !strings.HasSuffix(life, "k")) {
			return fmt.Errorf("crashstates: life %s: %w", life, err)
		}
	}
	return nil
}

// worker is one life of the workload.
type worker struct {
	h       *History
	s       *bolt.Store
	marks   *os.File
	rng     *rand.Rand
	tickets []bolt.Tickets // not waited for yet
	writes  chan uint64
}

func liveOnce(dir, life string) error {
	digits, killed := strings.CutSuffix(life, "k")
	steps, err := strconv.Atoi(digits)
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(os.Getenv(envSeed), 10, 64)
	if err != nil {
		return err
	}
	w := &worker{h: NewHistory(seed), writes: make(chan uint64, 1)}
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
	o := options(filepath.Join(dir, "spool"))
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
	w.rng = rand.New(rand.NewPCG(seed, uint64(w.h.begun)<<32))
	w.mark("r %d %d\n", n, w.h.begun+1)
	w.h.Resume(n)
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	if killed {
		time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Microsecond) // anywhere in the commit of the last step
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {}
	}
	if err := w.settle(); err != nil {
		return err
	}
	return s.Close(context.Background())
}

// receive tells what Write was last made durable.
func (w *worker) receive() {
	for c := range w.s.Commits() {
		c.Release()
		if c.Err != nil {
			fmt.Fprintln(os.Stderr, "crashstates: commit:", c.Err)
			os.Exit(1)
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
	t, err := w.s.AppendBatch(context.Background(), st.Batch)
	if err != nil {
		return err
	}
	w.tickets = append(w.tickets, t)
	if w.rng.IntN(3) > 0 {
		if err := w.settle(); err != nil {
			return err
		}
		w.mark("d %d\n", n)
	}
	return nil
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
