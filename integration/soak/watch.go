package soak

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/proc"
)

// Watch takes samples, writes them down and checks them. Set its fields before Run; what has
// a method may be asked by all.
type Watch struct {
	Daemon   *crash.Daemon
	Book     *Book
	Interval time.Duration
	Answered func() uint64                                     // records that clients were told are spooled
	Written  func() (int64, error)                             // to the spool's disk
	Out      io.Writer                                         // samples.csv
	Scrape   func(context.Context) (goroutines int, err error) // nil: nobody scrapes
	Fail     func(error)                                       // is told the first violation

	history History

	mu     sync.Mutex
	epoch  int
	limits Limits
	latest Sample
	peaks  Peaks
	answer *crash.Status // the latest that there was
}

// statusPatience is how long a sample waits for a daemon that may be stopped.
const statusPatience = time.Second

// Run goes on until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	out := csv.NewWriter(w.Out)
	defer out.Flush()
	_ = out.Write(head()) // a sample that cannot be written is only missed
	tick := time.NewTicker(w.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, limits, err := w.sample(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.Join(limits.Check(&s), w.history.Check(&s))
		}
		w.keep(&s)
		_ = out.Write(s.row()) // as above
		out.Flush()
		if err != nil {
			w.Fail(fmt.Errorf("%w\nat %.1f s, trouble: %s", err, s.At, s.Trouble))
			return
		}
	}
}

// sample looks once. An error is a violation: a daemon that does not answer is none.
func (w *Watch) sample(ctx context.Context) (Sample, Limits, error) {
	w.mu.Lock()
	s := Sample{At: time.Since(w.Book.began).Seconds(), Epoch: w.epoch, Pid: w.Daemon.Pid(), Trouble: w.Book.On()}
	limits := w.limits
	w.mu.Unlock()
	s.Answered = w.Answered()
	if u, err := proc.Use(s.Pid); err == nil {
		s.Use = &u
	}
	var err error
	if s.Device, err = w.Written(); err != nil {
		return s, limits, err
	}
	if s.Disk, err = occupied(w.Daemon.Spool); err != nil {
		return s, limits, err
	}
	ask, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	st, err := w.Daemon.Status(ask)
	if errors.Is(err, crash.ErrConservation) {
		return s, limits, err
	}
	if err == nil {
		s.Status = st
	}
	if w.Scrape != nil {
		if n, err := w.Scrape(ask); err == nil { // a daemon that does not answer is no violation
			s.Routines = n
		}
	}
	return s, limits, nil
}

func (w *Watch) keep(s *Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest = *s
	if s.Status != nil {
		w.answer = s.Status
	}
	w.peaks.Add(s)
}

// Begin begins an epoch: the number and the limits of the samples to come.
func (w *Watch) Begin(epoch int, l Limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch, w.limits = epoch, l
	w.peaks.Limits.Grow(l)
}

// Latest is the latest sample, and the latest status that the daemon gave.
func (w *Watch) Latest() (Sample, crash.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answer == nil {
		return w.latest, crash.Status{}
	}
	return w.latest, *w.answer
}

// Peaks is the most that was seen so far.
func (w *Watch) Peaks() Peaks {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peaks
}

// occupied is how many bytes of disk the files of a directory have. Files come and go meanwhile.
func occupied(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // before the first start
	}
	if err != nil {
		return 0, fmt.Errorf("soak: the spool's directory: %w", err)
	}
	sum := int64(0)
	for _, e := range entries {
		var st syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(dir, e.Name()), &st); err == nil {
			sum += st.Blocks * 512
		}
	}
	return sum, nil
}
